"""Scopes: what a session works on, and the counter from which its fencing tokens are drawn."""

from typing import NamedTuple

from holdfast.domain.ids import AccountId, SessionId

FORGES = ("github.com/", "gitlab.com/", "bitbucket.org/")
"""Hosts that go without saying before a repository's name."""

_OWN = "session="


class Scope(NamedTuple):
    """The guard row of a scope: locked by whoever acquires it.

    last_token: the highest token ever issued here; it outlives every session of the scope and never goes back.
    last_exclusive_token: the highest one issued to an exclusive session; 0 if there was none.
    """

    account_id: AccountId
    scope: str
    last_token: int
    last_exclusive_token: int


class ScopeParts(NamedTuple):
    """A scope given in parts; the order of the fields is the order in its canonical string."""

    project_id: str | None = None
    venture: str | None = None
    repo: str | None = None
    track: str | None = None
    workspace: str | None = None


def canonical(parts: ScopeParts) -> str:
    """The string that names these parts: `key=value`, percent-encoded, joined by `;` in their fixed order."""
    from urllib.parse import quote

    given = zip(ScopeParts._fields, parts, strict=True)
    return ";".join(f"{name}={quote(value, safe='')}" for name, value in given if value is not None)


def own_scope(session_id: SessionId) -> str:
    """The scope of a session that named none: itself alone."""
    return f"{_OWN}{session_id}"


def in_words(scope: str) -> str:
    """What a session works on: parts decoded, and what goes without saying left out.

    `repo=github.com%2Facme%2Fapi;track=2` is `acme/api, track 2`; a scope of its own is empty.
    """
    if scope.startswith(_OWN):
        return ""
    from urllib.parse import unquote

    pairs = [pair.partition("=") for pair in scope.split(";")]
    parts = {name: unquote(value) for name, equals, value in pairs if equals}
    if len(parts) != len(pairs) or not parts.keys() <= set(ScopeParts._fields):
        return scope
    words: list[str] = []
    if "repo" in parts:
        words.append(_without_forge(parts.pop("repo")))
    if "workspace" in parts:
        words.append(_without_machine(parts.pop("workspace")))
    words += [f"{name.removesuffix('_id')} {value}" for name, value in parts.items()]
    return ", ".join(words)


def _without_forge(repository: str) -> str:
    return next((repository.removeprefix(forge) for forge in FORGES if repository.startswith(forge)), repository)


def _without_machine(workspace: str) -> str:
    machine, colon, path = workspace.partition(":")
    return path if colon and machine.startswith("mach_") else workspace


def unused(account_id: AccountId, scope: str) -> Scope:
    """A scope that nobody has acquired yet."""
    return Scope(account_id, scope, 0, 0)


def acquire(scope: Scope, *, is_exclusive: bool, token_floor: int) -> Scope:
    """The scope after one more acquisition, whose token is its new `last_token`.

    Tokens of a scope grow at every acquisition and are never reused: not after release, expiry, deletion, or a
    restore, which raises the floor above everything that was ever issued.
    """
    token = max(scope.last_token, token_floor) + 1
    return scope._replace(
        last_token=token,
        last_exclusive_token=token if is_exclusive else scope.last_exclusive_token,
    )


def has_later_rival(scope: Scope, *, fencing_token: int, is_exclusive: bool) -> bool:
    """Whether somebody acquired the scope after this token was issued, and either side wants it alone."""
    return scope.last_exclusive_token > fencing_token or (is_exclusive and scope.last_token > fencing_token)
