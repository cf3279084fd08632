"""Which names and addresses are this machine's own, for itself alone."""

import ipaddress


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach what listens on `host`, or is `host`."""
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
