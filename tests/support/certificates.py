"""Certificates of an authority of the tests' own."""

import ssl
from pathlib import Path

import trustme

from holdfast.doors.http.tls import TlsFiles

AUTHORITY = trustme.CA()


def issue(directory: Path, *, name: str = "localhost") -> TlsFiles:
    """A new certificate for a name and 127.0.0.1, and its key, readable by nobody else."""
    made = AUTHORITY.issue_cert(name, "127.0.0.1")
    files = TlsFiles(directory / "certificate.pem", directory / "key.pem")
    files.certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    files.key.touch(mode=0o600)
    files.key.write_bytes(made.private_key_pem.bytes())
    return files


def authority_file(directory: Path) -> Path:
    """The authority's own certificate."""
    path = directory / "authority.pem"
    AUTHORITY.cert_pem.write_to_path(path)
    return path


def client_context(*, newest: ssl.TLSVersion = ssl.TLSVersion.TLSv1_3) -> ssl.SSLContext:
    """What trusts that authority and nobody else."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.maximum_version = newest
    AUTHORITY.configure_trust(context)
    return context
