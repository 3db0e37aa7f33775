"""Where a client finds the server's address and its key, and where the server's first start leaves them."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple
from urllib.parse import urlsplit

from holdfast.client.directories import config_directory
from holdfast.client.files import lock, make_private_directory, write_atomically

DEFAULT_URL = "http://127.0.0.1:8787"
FILE_NAME = "credentials.json"
FILE_VERSION = 1

FILE_BYTES_MAX = 1024 * 1024
"""Some thousands of keys; anything larger is not this file."""

LOCK_WAIT_SECONDS = 10.0

_LOOPBACK_HOSTS = frozenset({"localhost", "127.0.0.1", "::1"})
_DEFAULT_PORTS = {"http": 80, "https": 443}


class Credentials(NamedTuple):
    """Where the server is, and the key for it; None: no key is known for this address.

    ca_file: the only authorities whose word on the server's certificate counts; None: those of this machine.
    """

    url: str
    key: str | None
    ca_file: str | None = None

    def __repr__(self) -> str:
        return f"Credentials(url={self.url!r}, key={'…' if self.key else None})"


class CredentialsInvalid(Exception):
    """The file with the keys, or an address, cannot be used as it is."""

    def __init__(self, subject: str, reason: str) -> None:
        super().__init__(f"{subject}: {reason}")
        self.subject = subject
        self.reason = reason


def normalise_url(url: str) -> str:
    """The one form of a server's address: no user, no trailing slash, no default port, one name for this machine.

    Raises: CredentialsInvalid unless it is http or https with a host.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as exc:
        raise CredentialsInvalid("the server's URL", str(exc)) from exc
    if parts.scheme not in _DEFAULT_PORTS or not parts.hostname:
        raise CredentialsInvalid("the server's URL", "it must look like http://127.0.0.1:8787")
    host = "127.0.0.1" if parts.hostname in _LOOPBACK_HOSTS else parts.hostname
    shown_host = f"[{host}]" if ":" in host else host
    shown_port = "" if port in (None, _DEFAULT_PORTS[parts.scheme]) else f":{port}"
    return f"{parts.scheme}://{shown_host}{shown_port}{parts.path.rstrip('/')}"


def find_credentials(environ: Mapping[str, str]) -> Credentials:
    """The server's address and key: HOLDFAST_URL and HOLDFAST_KEY, else the address of a local server and kept keys.

    Raises: CredentialsInvalid for an address or a file that cannot be read.
    """
    url = (environ.get("HOLDFAST_URL") or DEFAULT_URL).rstrip("/")
    name = normalise_url(url)
    key = environ.get("HOLDFAST_KEY")
    if not key:
        key = read_keys(config_directory(environ) / FILE_NAME).get(name)
    return Credentials(url, key or None, environ.get("HOLDFAST_CA_FILE") or None)


def read_keys(path: Path) -> dict[str, str]:
    """The kept keys by their server's address; none where there is no file.

    Raises: CredentialsInvalid for a file that is not one of ours.
    """
    try:
        with path.open("rb") as file:
            content = file.read(FILE_BYTES_MAX + 1)
    except FileNotFoundError:
        return {}
    except OSError as exc:
        raise CredentialsInvalid(str(path), exc.strerror or "it cannot be read") from exc
    try:
        document = json.loads(content) if len(content) <= FILE_BYTES_MAX else None
    except (ValueError, RecursionError):
        document = None
    keys = document.get("keys") if isinstance(document, dict) and document.get("version") == FILE_VERSION else None
    if not isinstance(keys, dict) or not all(isinstance(key, str) for key in keys.values()):
        raise CredentialsInvalid(str(path), f"it is not a version {FILE_VERSION} file of keys")
    return keys


def save_key(directory: Path, url: str, key: str) -> Path:
    """Keep a key for a server's address, beside those of other servers; the file, mode 0600.

    Two processes that save at once both succeed. A file that is not ours is moved aside, never lost.
    Raises: CredentialsInvalid when the file is a symbolic link, which is not followed; OSError.
    """
    make_private_directory(directory)
    path = directory / FILE_NAME
    with lock(directory / f".{FILE_NAME}.lock", wait_seconds=LOCK_WAIT_SECONDS) as is_locked:
        if not is_locked:
            raise CredentialsInvalid(str(path), "another process has been writing it for a long time")
        if path.is_symlink():
            raise CredentialsInvalid(str(path), "it is a symbolic link; write the key where it points to yourself")
        try:
            keys = read_keys(path)
        except CredentialsInvalid:
            path.replace(path.with_name(f"{FILE_NAME}.bad-{os.urandom(4).hex()}"))
            keys = {}
        keys[normalise_url(url)] = key
        document = {"version": FILE_VERSION, "keys": keys}
        write_atomically(path, json.dumps(document, indent=2, sort_keys=True).encode() + b"\n")
    return path
