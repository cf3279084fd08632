"""How often one key or one address may ask: token buckets in bounded memory."""

import ipaddress
import math
import time
from collections import OrderedDict
from collections.abc import Callable

from .problems import Problem

SECONDS_SAVED = 10.0  # a bucket holds what this many seconds bring
MOST_BUCKETS = 10_000


class Rate:
    """`per_minute` for each of any number of askers; the one longest silent is forgotten first."""

    def __init__(
        self,
        per_minute: float,
        most: int = MOST_BUCKETS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._per_second = per_minute / 60
        self._full = max(1.0, self._per_second * SECONDS_SAVED)
        self._most, self._clock = most, clock
        self._buckets: OrderedDict[str, tuple[float, float]] = OrderedDict()  # tokens, when

    def take(self, asker: str) -> None:
        """Count one request.

        Raises:
            Problem: 429 with Retry-After, where the asker has none left.
        """
        now = self._clock()
        tokens = self._tokens(asker, now)
        if tokens < 1:
            raise self._refusal(tokens)
        self._buckets[asker] = (tokens - 1, now)
        self._buckets.move_to_end(asker)
        if len(self._buckets) > self._most:
            self._buckets.popitem(last=False)

    def check(self, asker: str) -> None:
        """Pass where `take` would, without counting.

        Raises:
            Problem: 429 with Retry-After.
        """
        tokens = self._tokens(asker, self._clock())
        if tokens < 1:
            raise self._refusal(tokens)

    def _tokens(self, asker: str, now: float) -> float:
        bucket = self._buckets.get(asker)
        if bucket is None:
            return self._full
        return min(self._full, bucket[0] + (now - bucket[1]) * self._per_second)

    def _refusal(self, tokens: float) -> Problem:
        wait = max(1, math.ceil((1 - tokens) / self._per_second))
        return Problem(
            429, f"Too many requests; go on in {wait} s.", headers={"Retry-After": str(wait)}
        )


def address_of(client: tuple[str, int] | list[object] | None) -> str:
    """Whom an address belongs to: itself, or for IPv6 its /64, of which one asker has 2^64."""
    host = str(client[0]) if client else "unknown"
    if ":" not in host:
        return host
    try:
        network = ipaddress.ip_network((host.partition("%")[0], 64), strict=False)
    except ValueError:
        return "unknown"
    return str(network.network_address)
