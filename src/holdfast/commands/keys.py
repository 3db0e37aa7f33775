"""Keys: made, rotated, revoked, and what is kept of their use."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.accounts import open_account
from holdfast.commands.bodies import Body
from holdfast.commands.holding import audit
from holdfast.commands.lists import Filter, ListSpec
from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain.account import Account
from holdfast.domain.actor import PROJECT_SCOPES, Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, FieldError, Refusal, WayOut
from holdfast.domain.ids import AccountId, KeyId
from holdfast.domain.keys import ApiKey, KeyUsage, format_key, rotated, secret_sha256
from holdfast.domain.limits import MINUTE_MS


class CreateKey(NamedTuple):
    """Make a key, for the actor's account or another one, which is made if there is none.

    secret_entropy: 32 random bytes, of which the key is made.
    project_id: the one project whose sessions it sees and writes. expires_at_ms: from when on it is refused.
    """

    name: str
    scope: KeyScope
    account_id: AccountId | None
    secret_entropy: bytes
    project_id: str | None = None
    expires_at_ms: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (Key(Account, (self.account_id or actor.account_id,)),)

    def decide(self, view: View) -> Reply:
        """The key, shown this once. Raises: forbidden, validation_failed, not_found for an account that was erased."""
        require(view.actor, KeyScope.ADMIN)
        if self.project_id is not None and self.scope not in PROJECT_SCOPES:
            message = "goes with the scopes read and agent only; the others are for a whole account"
            raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("project_id", message),))
        if self.expires_at_ms is not None and self.expires_at_ms <= view.now.wall_ms:
            raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("expires_at", "must be in the future"),))
        account_id = self.account_id or view.actor.account_id
        open_account(view, account_id)
        secret = format_key(self.secret_entropy)
        key = ApiKey(
            id=KeyId(view.mint("key")),
            account_id=account_id,
            name=self.name,
            scope=self.scope,
            secret_sha256=secret_sha256(secret),
            created_at_ms=view.now.wall_ms,
            created_by=view.actor.key_id,
            revoked_at_ms=None,
            project_id=self.project_id,
            expires_at_ms=self.expires_at_ms,
            rotated_at_ms=None,
            previous_secret_sha256=None,
            previous_expires_at_ms=None,
            last_used_at_ms=None,
        )
        view.put(key)
        audit(view, AuditAction.KEY_CREATED, target=key.id)
        return Reply({**key_body(key), "key": secret}, created=True, is_secret=True)


class RevokeKey(NamedTuple):
    """Make a key useless, at once on this node."""

    key_id: KeyId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The key's row."""
        return (Key(ApiKey, (self.key_id,)),)

    def decide(self, view: View) -> Reply:
        """The revoked key; revoking it again changes nothing. Raises: forbidden, not_found."""
        require(view.actor, KeyScope.ADMIN)
        key = find_key(view, self.key_id)
        if key.revoked_at_ms is None:
            key = key._replace(revoked_at_ms=view.now.wall_ms)
            view.put(key)
            audit(view, AuditAction.KEY_REVOKED, target=key.id)
        return Reply(key_body(key))


class RotateKey(NamedTuple):
    """Give a key a new secret; the present one is good for the overlap, and not a moment longer.

    secret_entropy: 32 random bytes, of which the new secret is made.
    """

    key_id: KeyId
    overlap_ms: int
    secret_entropy: bytes

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The key's row."""
        return (Key(ApiKey, (self.key_id,)),)

    def decide(self, view: View) -> Reply:
        """The key with its new secret, shown this once. Raises: forbidden, not_found, key_ended."""
        require(view.actor, KeyScope.ADMIN)
        secret = format_key(self.secret_entropy)
        before = find_key(view, self.key_id)
        key = rotated(before, new_sha256=secret_sha256(secret), overlap_ms=self.overlap_ms, now_ms=view.now.wall_ms)
        view.put(key)
        audit(view, AuditAction.KEY_ROTATED, target=key.id)
        return Reply({**key_body(key), "key": secret}, created=True, is_secret=True)


class KeyUse(NamedTuple):
    """A key that was used, and about when."""

    key_id: KeyId
    at_ms: int


class RecordKeyUse(NamedTuple):
    """Note when keys were last used; what was noted is never set back."""

    uses: tuple[KeyUse, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The rows of the keys."""
        return (Key(ApiKey, (each.key_id,)) for each in self.uses)

    def decide(self, view: View) -> Reply:
        """Nothing but that it was noted."""
        for use in self.uses:
            key = view.get(ApiKey, use.key_id)
            if key is not None and (key.last_used_at_ms or 0) < use.at_ms:
                view.put(key._replace(last_used_at_ms=use.at_ms))
        return Reply({})


class CountedUse(NamedTuple):
    """What a node let a key do since it last told the others; nothing, where it only wants to hear of them."""

    key_id: KeyId
    account_id: AccountId
    requests: int
    heartbeats: int


class ShareKeyUsage(NamedTuple):
    """Add what this node counted to what all nodes counted, each key in the window of the present minute."""

    counted: tuple[CountedUse, ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The counters of the keys."""
        return (Key(KeyUsage, (each.key_id,)) for each in self.counted)

    def decide(self, view: View) -> Reply:
        """The counters of all nodes together, one a key, in order."""
        window_at_ms = view.now.wall_ms - view.now.wall_ms % MINUTE_MS
        totals = []
        for each in self.counted:
            row = view.get(KeyUsage, each.key_id)
            if row is None or row.window_at_ms != window_at_ms:
                row = KeyUsage(each.key_id, each.account_id, window_at_ms, 0, 0)
            if each.requests or each.heartbeats:
                row = row._replace(requests=row.requests + each.requests, heartbeats=row.heartbeats + each.heartbeats)
                view.put(row)
            totals.append(row)
        return Reply({"totals": totals})


def find_key(view: View, key_id: KeyId) -> ApiKey:
    """A key of the actor's account. Raises: not_found, the same for a foreign one as for none."""
    key = view.get(ApiKey, key_id)
    if key is None or key.account_id != view.actor.account_id:
        raise Refusal(Code.NOT_FOUND, what="key", ways_out=(WayOut(Action.CREATE_KEY),))
    return key


def key_body(key: ApiKey) -> Body:
    """A key as everybody may see it: all but the key itself."""
    return {
        "id": key.id,
        "account_id": key.account_id,
        "name": key.name,
        "scope": str(key.scope),
        "scopes": [str(key.scope)],
        "project_id": key.project_id,
        "created_at_ms": key.created_at_ms,
        "created_by": key.created_by,
        "expires_at_ms": key.expires_at_ms,
        "rotated_at_ms": key.rotated_at_ms,
        "previous_expires_at_ms": key.previous_expires_at_ms,
        "last_used_at_ms": key.last_used_at_ms,
        "revoked_at_ms": key.revoked_at_ms,
    }


KEY_LIST = ListSpec("keys", (ApiKey,), {"scope": (Filter("api_key", "scope"),)}, order="id")
