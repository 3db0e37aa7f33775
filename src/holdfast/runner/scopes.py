"""What a command works on: the repository's origin, else this machine's working directory; and what is checked out."""

import hashlib
import os
import re
import subprocess
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import quote, urlsplit

from holdfast.client.api import Json
from holdfast.domain.limits import NAME_CHARS_MAX
from holdfast.domain.scope import ScopeParts, canonical

GIT_SECONDS_MAX = 3.0
"""How long git may take to say where a repository comes from."""

WORKSPACE_CHARS_MAX = 800
"""A path, percent-encoded, that still fits a scope; a longer one is named by its hash."""

_DEFAULT_PORTS = {"http": 80, "https": 443, "ssh": 22, "git": 9418, "git+ssh": 22, "ssh+git": 22}
_SCP_FORM = re.compile(r"(?:[^@/\s]+@)?(\[[0-9A-Fa-f:.]+\]|[^:/\s\[\]]{2,}):(?!:|//)(.+)")


def repository_of(origin_url: str) -> str | None:
    """`host/owner/name` for a remote's URL: no scheme, user, password, token or `.git`, a port only if unusual.

    None for what names no place that another machine could reach: a path, a file URL, an empty string.
    """
    url = origin_url.strip()
    if not url or any(ord(char) < 32 or char == "\x7f" for char in url):
        return None
    if "://" in url:
        try:
            parts = urlsplit(url)
            host, port = parts.hostname, parts.port
        except ValueError:
            return None
        if parts.scheme not in _DEFAULT_PORTS or not host:
            return None
        host = f"[{host}]" if ":" in host else host
        place = host if port in (None, _DEFAULT_PORTS[parts.scheme]) else f"{host}:{port}"
        path = parts.path
    else:
        # The scp form; a single letter before the colon is a drive of Windows.
        match = _SCP_FORM.fullmatch(url)
        if match is None:
            return None
        place, path = match[1].lower(), match[2]
    path = path.strip("/").removesuffix(".git").strip("/")
    return f"{place}/{path}" if path else None


def workspace_of(machine_id: str, directory: str) -> str:
    """`machine:path`, for a directory that is in no repository with an origin."""
    if len(quote(directory, safe="")) > WORKSPACE_CHARS_MAX:
        directory = "sha256-" + hashlib.sha256(os.fsencode(directory)).hexdigest()
    return f"{machine_id}:{directory}"


def scope_here(given: str | None, *, machine_id: str, environ: Mapping[str, str]) -> Json:
    """The scope of a command that starts in the working directory: the one given, else what the directory says."""
    if given is not None:
        return given
    origin = _origin(environ)
    repository = repository_of(origin) if origin else None
    if repository is not None:
        return {"repo": repository}
    directory = os.fsencode(Path.cwd().resolve()).decode("utf-8", "replace")
    return {"workspace": workspace_of(machine_id, directory)}


def checkout_here(environ: Mapping[str, str]) -> dict[str, Json]:
    """The branch and the commit that are checked out here, as a start tells them; what there is not is left out."""
    told = _git("rev-parse", "HEAD", "--symbolic-full-name", "HEAD", environ=environ)
    commit_sha, _, ref = (told or "").partition("\n")
    branch = ref.removeprefix("refs/heads/") if ref.startswith("refs/heads/") else ""
    found: dict[str, Json] = {"branch": branch, "commit_sha": commit_sha}
    return {name: value for name, value in found.items() if value and len(str(value)) <= NAME_CHARS_MAX}


def placed(scope: Json, *, project_id: str | None) -> dict[str, Json]:
    """What a start says of where it works.

    A project does not change the scope, so that whoever works there alone is alone with and without one.
    """
    if project_id is None:
        return {"scope": scope}
    if not isinstance(scope, dict):
        return {"scope": scope, "project_id": project_id}
    parts = {name: str(value) for name, value in scope.items()}
    return {"scope": canonical(ScopeParts(**parts)), **parts, "project_id": project_id}


def _origin(environ: Mapping[str, str]) -> str | None:
    return _git("config", "--get", "remote.origin.url", environ=environ)


def _git(*arguments: str, environ: Mapping[str, str]) -> str | None:
    """What git says of the working directory; None where it knows nothing, or is not there."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=GIT_SECONDS_MAX,
            check=False,
            env=dict(environ),
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.decode("utf-8", "replace").strip() if done.returncode == 0 else None
