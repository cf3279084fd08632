"""The certificates by which server, scheduler and workers of one cluster know each other.

A folder holds ca.pem, cert.pem and key.pem. Whoever has a copy of it belongs to the cluster, and
may run programs on its machines. The authority's own key is thrown away: nobody else is admitted
later.
"""

import datetime
import os
from pathlib import Path
from typing import TYPE_CHECKING

from annotations.errors import UsageError
from tiling.rawplanes import disk_errors

if TYPE_CHECKING:
    from cryptography.x509 import CertificateBuilder, Name
    from distributed.security import Security

CA, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"


def make_certificates(folder: Path, days: int) -> bool:
    """Make the folder with a certificate that is good for so many days; False if it has one.

    Raises:
        UsageError: there is a part of one. ResultError: the disk refuses.
    """
    if all((folder / name).exists() for name in (CA, CERTIFICATE, KEY)):
        return False
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec
    from cryptography.hazmat.primitives.hashes import SHA256
    from cryptography.x509 import BasicConstraints

    authority, own = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    root = _builder("Extent cluster authority", "Extent cluster authority", days)
    root = root.add_extension(BasicConstraints(ca=True, path_length=0), critical=True)
    member = _builder("Extent cluster", "Extent cluster authority", days)
    member = member.add_extension(BasicConstraints(ca=False, path_length=None), critical=True)
    pem = serialization.Encoding.PEM
    private = own.private_bytes(
        pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    contents = {
        KEY: private,
        CA: root.public_key(authority.public_key()).sign(authority, SHA256()).public_bytes(pem),
        CERTIFICATE: member.public_key(own.public_key())
        .sign(authority, SHA256())
        .public_bytes(pem),
    }
    with disk_errors(folder):
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        for name, content in contents.items():
            _write_new(folder / name, content)
    return True


def security(folder: Path) -> "Security":
    """What Dask is told of the certificates in a folder; nothing goes unencrypted then.

    Raises:
        UsageError: one of the files is not there, or not readable.
    """
    from distributed.security import Security

    for name in (CA, CERTIFICATE, KEY):
        if not os.access(folder / name, os.R_OK):
            raise UsageError(
                f"--tls {folder}: {name} is not there or not readable; "
                "`extent certificates DIR` makes such a folder, copy it to each machine"
            )
    certificate, key = str(folder / CERTIFICATE), str(folder / KEY)
    roles = ("client", "scheduler", "worker")
    return Security(
        require_encryption=True,
        tls_ca_file=str(folder / CA),
        **{f"tls_{role}_cert": certificate for role in roles},
        **{f"tls_{role}_key": key for role in roles},
    )


def _builder(subject: str, issuer: str, days: int) -> "CertificateBuilder":
    from cryptography import x509

    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(_name(subject))
        .issuer_name(_name(issuer))
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))  # clocks differ
        .not_valid_after(now + datetime.timedelta(days=days))
    )


def _name(text: str) -> "Name":
    from cryptography.x509 import Name, NameAttribute
    from cryptography.x509.oid import NameOID

    return Name([NameAttribute(NameOID.COMMON_NAME, text)])


def _write_new(path: Path, content: bytes) -> None:
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise UsageError(
            f"{path}: a part of certificates is there already; remove it, or take another folder"
        ) from None
    with os.fdopen(file, "wb") as stream:
        stream.write(content)
