"""TLS: a certificate and its key as a context, checked before anybody relies on them, and renewed while it serves."""

import logging
import ssl
import sys
from pathlib import Path
from typing import NamedTuple

log = logging.getLogger(__name__)

OTHERS_MAY_READ = 0o077


class TlsFiles(NamedTuple):
    """Where the certificate chain and its key are, in PEM."""

    certificate: Path
    key: Path


class TlsUnusable(Exception):
    """The certificate or its key cannot be used; the text says which and why."""


def server_context(files: TlsFiles) -> ssl.SSLContext:
    """What a server needs to speak TLS 1.2 or 1.3 with HTTP/1.1 inside it. Raises: TlsUnusable."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # A client that asks for new keys again and again makes the server compute; nobody needs it.
    context.options |= ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    _load(context, files)
    return context


def renew(context: ssl.SSLContext, files: TlsFiles) -> None:
    """Use the files as they are now for every connection that comes. Raises: TlsUnusable; then nothing changed."""
    # Tried on another context first: one half of the new pair must not replace its half of the old one.
    server_context(files)
    _load(context, files)


def _load(context: ssl.SSLContext, files: TlsFiles) -> None:
    for path in files:
        _require_readable(path)
    if sys.platform != "win32" and files.key.stat().st_mode & OTHERS_MAY_READ:
        log.warning("tls_key_readable_by_others path=%s hint=%r", files.key, "chmod 600")
    try:
        context.load_cert_chain(files.certificate, files.key, password=_refuse_passphrase)
    except ssl.SSLError as exc:
        if exc.reason == "KEY_VALUES_MISMATCH":
            raise TlsUnusable(f"The key {files.key} is not the one of the certificate {files.certificate}.") from exc
        raise TlsUnusable(
            f"The certificate {files.certificate} with the key {files.key} cannot be used:"
            f" they must be PEM, the certificate first in its chain ({exc.reason or 'unknown format'})."
        ) from exc


def _require_readable(path: Path) -> None:
    try:
        with path.open("rb") as file:
            file.read(1)
    except OSError as exc:
        raise TlsUnusable(f"{path} cannot be read: {exc.strerror or type(exc).__name__}.") from exc


def _refuse_passphrase() -> str:
    # Else OpenSSL would ask on the terminal, and a server that starts by itself would wait for ever.
    raise TlsUnusable("The key of the certificate is encrypted. Store it decrypted, readable by this user only.")
