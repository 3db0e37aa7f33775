"""Where a workspace's database lies, which profiles there are, and what its repository says of itself."""

import os
import time
from typing import NamedTuple

PROFILE_CHARS_MAX = 63
_LETTERS_AND_DIGITS = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
DEFAULT_PROFILE = "main"
DATABASE = "state.db"
MARKER = ".holdfast.toml"
GIT_FILE_BYTES_MAX = 4_096


class PlaceInvalid(Exception):
    """There is no such workspace; the text says why. code: for programs."""

    def __init__(self, code: str, text: str) -> None:
        super().__init__(text)
        self.code = code


class Place(NamedTuple):
    """A workspace and profile. root: the checkout. git_dir: None where it is none of git's."""

    root: str
    git_dir: str | None
    profile: str

    @property
    def profiles(self) -> str:
        """The directory of all profiles."""
        return os.path.join(self.git_dir, "holdfast") if self.git_dir else os.path.join(self.root, ".holdfast")

    @property
    def directory(self) -> str:
        """The profile's directory."""
        return os.path.join(self.profiles, self.profile)

    @property
    def database(self) -> str:
        """The profile's database."""
        return os.path.join(self.directory, DATABASE)


def is_profile(name: str) -> bool:
    """Whether a profile may be called so."""
    is_plain = set(name) <= _LETTERS_AND_DIGITS | set("._-") and name[:1] in _LETTERS_AND_DIGITS
    return is_plain and 1 <= len(name) <= PROFILE_CHARS_MAX


def find(path: str, profile: str | None) -> Place:
    """The workspace that a path lies in. Raises: PlaceInvalid."""
    name = (os.environ.get("HOLDFAST_PROFILE") or DEFAULT_PROFILE) if profile is None else profile
    if not is_profile(name):
        raise PlaceInvalid(
            "profile_invalid",
            f"`{name}` is no profile: a profile has up to 63 of a-z, 0-9, `.`, `_` and `-`, and begins with one of "
            "a-z and 0-9",
        )
    start = os.path.abspath(path)
    try:
        start.encode()
    except UnicodeEncodeError:
        raise PlaceInvalid("path_not_text", f"{start} is not text in UTF-8, which its database needs") from None
    if not os.path.isdir(start):
        raise PlaceInvalid("path_not_found", f"{start} is not a directory")
    at = start
    while True:
        git_dir = _git_dir(os.path.join(at, ".git"))
        if git_dir is not None:
            return Place(at, git_dir, name)
        if os.path.isdir(os.path.join(at, ".holdfast")):
            return Place(at, None, name)
        if _is_bare(at):
            return Place(_root_of(at), at, name)
        above = os.path.dirname(at)
        if above == at:
            return Place(start, None, name)
        at = above


def find_behind(git_dir: str | None, profile: str | None) -> Place:
    """The workspace whose git directory this is, wherever the caller stands. Raises: PlaceInvalid."""
    here = find(".", profile)
    if not git_dir or (here.git_dir is not None and os.path.realpath(here.git_dir) == os.path.realpath(git_dir)):
        return here
    return Place(_root_of(git_dir), git_dir, here.profile)


def _root_of(git_dir: str) -> str:
    """The checkout of a git directory, as far as that tells; its own directory where it has none, or elsewhere."""
    linked = _read(os.path.join(git_dir, "gitdir")).strip()
    if linked:
        return os.path.dirname(linked)
    return os.path.dirname(git_dir) if os.path.basename(git_dir) == ".git" else git_dir


def _is_bare(path: str) -> bool:
    """Whether a directory is itself one of git's, as a bare repository is, or `.git` to one who stands in it."""
    return os.path.exists(os.path.join(path, "HEAD")) and os.path.isdir(os.path.join(path, "objects"))


def _git_dir(dot_git: str) -> str | None:
    """The git directory behind `.git`, which is a file in a linked worktree and in a submodule.

    Raises: PermissionError where nobody may look into it.
    """
    if os.path.isdir(dot_git):
        try:
            os.stat(os.path.join(dot_git, "HEAD"))
        except FileNotFoundError:
            return None
        return dot_git
    line = _read(dot_git)
    if not line.startswith("gitdir: "):
        return None
    found = os.path.join(os.path.dirname(dot_git), line.removeprefix("gitdir: ").strip())
    return os.path.normpath(found) if os.path.isdir(found) else None


def common_git_dir(git_dir: str) -> str:
    """The git directory that all worktrees of a repository share."""
    common = _read(os.path.join(git_dir, "commondir")).strip()
    return os.path.normpath(os.path.join(git_dir, common)) if common else git_dir


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read(GIT_FILE_BYTES_MAX)
    except OSError:
        return ""


def make(place: Place) -> None:
    """Make the profile's directory, for its owner only."""
    os.makedirs(place.directory, mode=0o700, exist_ok=True)


def known_profiles(place: Place) -> list[str]:
    """The profiles that were started in a workspace."""
    try:
        names = sorted(os.listdir(place.profiles))
    except OSError:
        return []
    return [name for name in names if is_profile(name) and exists(place._replace(profile=name))]


def exists(place: Place) -> bool:
    """Whether a profile was started, or left a file of an older kind."""
    return any(os.path.exists(os.path.join(place.directory, name)) for name in (DATABASE, *LEGACY_FILES))


LEGACY_SESSION = "session_state.json"
LEGACY_ESCALATIONS = ("escalation_state.json", "escalations.json")
LEGACY_FILES = (LEGACY_SESSION, *LEGACY_ESCALATIONS)


def locality_id(place: Place) -> tuple[str | None, str | None]:
    """What the repository's marker file calls it, if it has one; and why that cannot be read."""
    path = os.path.join(place.root, MARKER)
    if not os.path.exists(path):
        return None, None
    import tomllib

    try:
        with open(path, "rb") as file:
            found = tomllib.load(file).get("locality_id")
    except (OSError, ValueError) as error:
        return None, f"{path} cannot be read: {error}"
    if found is None or isinstance(found, str):
        return found, None
    return None, f"{path} has a `locality_id` that is not text"


def git_state(place: Place) -> dict[str, str | None] | None:
    """The branch and the commit that are checked out, read from git's own files; None outside git.

    A detached HEAD has no branch.
    """
    if place.git_dir is None:
        return None
    head = _read(os.path.join(place.git_dir, "HEAD")).strip()
    if not head.startswith("ref: "):
        return {"branch": None, "commit": head or None}
    ref = head.removeprefix("ref: ")
    common = common_git_dir(place.git_dir)
    commit = _read(os.path.join(place.git_dir, ref)).strip() or _read(os.path.join(common, ref)).strip()
    return {"branch": ref.removeprefix("refs/heads/"), "commit": commit or _packed(common, ref)}


def _packed(common: str, ref: str) -> str | None:
    try:
        with open(os.path.join(common, "packed-refs"), encoding="utf-8", errors="replace") as file:
            for line in file:
                commit, _, name = line.strip().partition(" ")
                if name == ref:
                    return commit
    except OSError:
        return None
    return None


def neighbours(place: Place) -> list[Place]:
    """Other profiles of this workspace, and this and other profiles of its repository's other worktrees."""
    found = [place._replace(profile=name) for name in known_profiles(place)]
    if place.git_dir is not None:
        common = common_git_dir(place.git_dir)
        worktrees = os.path.join(common, "worktrees")
        names = sorted(os.listdir(worktrees)) if os.path.isdir(worktrees) else []
        for git_dir in (common, *(os.path.join(worktrees, name) for name in names)):
            if os.path.normpath(git_dir) == os.path.normpath(place.git_dir):
                continue
            there = Place(_root_of(git_dir), git_dir, place.profile)
            found += [there._replace(profile=name) for name in known_profiles(there)]
    return [each for each in found if each != place]


def record_presence(place: Place, *, health: str, lease_seconds: int, locality: str | None) -> str | None:
    """Note on this machine that somebody works here, or no longer; why it could not be, else None.

    It is a note for people and no rule looks at it, so it is neither synced nor locked.
    """
    import binascii

    name = f"{binascii.crc32(os.fsencode(place.database)):08x}"
    note = (health, lease_seconds, int(time.time()), place.profile, place.root, locality)
    try:
        directory = presence_directory()
        os.makedirs(directory, mode=0o700, exist_ok=True)
        partial = os.path.join(directory, f".{name}.{os.getpid()}")
        with open(partial, "w", encoding="utf-8") as file:
            file.write(ascii(note))
        os.replace(partial, os.path.join(directory, name))
    except OSError as error:
        return f"failed to record machine presence: {error}"
    return None


def presence_directory() -> str:
    """Where notes of presence lie: in this user's data directory."""
    given = os.environ.get("XDG_DATA_HOME", "")
    home = given if given.startswith("/") else os.path.join(os.path.expanduser("~"), ".local", "share")
    return os.path.join(home, "holdfast", "workspaces")


class Presence(NamedTuple):
    """A note that somebody works on this machine, or did. health: `ready` or `idle`."""

    health: str
    lease_seconds: int
    observed_at_epoch_s: int
    profile: str
    path: str
    locality_id: str | None


def presences() -> list[Presence]:
    """The notes on this machine that still hold, the latest first."""
    from ast import literal_eval

    found = []
    try:
        names = [name for name in os.listdir(presence_directory()) if not name.startswith(".")]
    except OSError:
        return []
    for name in names:
        try:
            with open(os.path.join(presence_directory(), name), encoding="utf-8") as file:
                note = Presence(*literal_eval(file.read()))
            if note.observed_at_epoch_s + note.lease_seconds > time.time():
                found.append(note)
        except (OSError, ValueError, SyntaxError, TypeError):
            continue  # Somebody else's file, or one that is being replaced.
    return sorted(found, key=lambda note: -note.observed_at_epoch_s)
