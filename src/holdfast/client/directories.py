"""Where this user's configuration and data lie on this machine, and the machine's own id."""

import os
import re
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from holdfast.client.files import make_private_directory, write_atomically

APPLICATION = "holdfast"

_PLATFORM: str = sys.platform

_MACHINE_ID = re.compile(r"mach_[0-9a-f]{32}")


def config_directory(environ: Mapping[str, str]) -> Path:
    """Where settings and keys of this user belong; it may not exist yet."""
    return _directory(environ, linux_name="XDG_CONFIG_HOME", linux_default=".config", windows_name="APPDATA")


def data_directory(environ: Mapping[str, str]) -> Path:
    """Where what Holdfast keeps for this user belongs; it may not exist yet."""
    return _directory(environ, linux_name="XDG_DATA_HOME", linux_default=".local/share", windows_name="LOCALAPPDATA")


def machine_id(data_dir: Path, *, environ: Mapping[str, str] = os.environ) -> str:
    """This machine's id: HOLDFAST_MACHINE_ID, else a random one that is made once and kept, 0600.

    It never depends on a hostname, which may change. Two processes that make it at once get the same one.
    Raises: OSError where it can be neither read nor kept.
    """
    given = environ.get("HOLDFAST_MACHINE_ID")
    if given:
        return given
    path = data_dir / "machine_id"
    kept = _read_machine_id(path)
    if kept:
        return kept
    make_private_directory(data_dir)
    made = path.with_name(f".machine_id.{secrets.token_hex(8)}.new")
    write_atomically(made, f"mach_{secrets.token_hex(16)}\n".encode())
    try:
        # A link fails where the name exists, so of two that make an id at once the first one wins.
        path.hardlink_to(made)
    except OSError:
        if _read_machine_id(path) is None:
            made.replace(path)
    finally:
        made.unlink(missing_ok=True)
    return _read_machine_id(path) or ""


def _read_machine_id(path: Path) -> str | None:
    try:
        text = path.read_text("ascii").strip()
    except (FileNotFoundError, UnicodeDecodeError):
        return None
    return text if _MACHINE_ID.fullmatch(text) else None


def _directory(environ: Mapping[str, str], *, linux_name: str, linux_default: str, windows_name: str) -> Path:
    if _PLATFORM == "win32":
        base = environ.get(windows_name)
        return Path(base) / APPLICATION if base else Path.home() / "AppData" / "Local" / APPLICATION
    home = Path(environ.get("HOME") or Path.home())
    if _PLATFORM == "darwin":
        return home / "Library" / "Application Support" / APPLICATION
    # The XDG specification has relative values ignored.
    given = environ.get(linux_name, "")
    return (Path(given) if given.startswith("/") else home / linux_default) / APPLICATION
