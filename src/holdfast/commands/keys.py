"""Keys and accounts: made, listed, revoked."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.bodies import Body
from holdfast.commands.holding import audit
from holdfast.commands.lists import Filter, ListSpec
from holdfast.commands.rows import Key, Need
from holdfast.commands.view import Reply, View
from holdfast.domain.actor import Actor, KeyScope, may, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.ids import AccountId, KeyId
from holdfast.domain.keys import Account, ApiKey, format_key, secret_sha256


class CreateKey(NamedTuple):
    """Make a key, for the actor's account or another one, which is made if there is none.

    secret_entropy: 32 random bytes, of which the key is made.
    """

    name: str
    scope: KeyScope
    account_id: AccountId | None
    secret_entropy: bytes

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (Key(Account, (self.account_id or actor.account_id,)),)

    def decide(self, view: View) -> Reply:
        """The key, shown this once. Raises: forbidden."""
        require(view.actor, KeyScope.ADMIN)
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
        key = view.get(ApiKey, self.key_id)
        if key is None or key.account_id != view.actor.account_id:
            raise Refusal(Code.NOT_FOUND, what="key", ways_out=(WayOut(Action.CREATE_KEY),))
        if key.revoked_at_ms is None:
            key = key._replace(revoked_at_ms=view.now.wall_ms)
            view.put(key)
            audit(view, AuditAction.KEY_REVOKED, target=key.id)
        return Reply(key_body(key))


class OpenAccount(NamedTuple):
    """Make sure that an account exists which an operator names."""

    account_id: AccountId

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account."""
        return (Key(Account, (self.account_id,)),)

    def decide(self, view: View) -> Reply:
        """The account. Raises: forbidden."""
        if not may(view.actor, KeyScope.OPERATOR):
            raise Refusal(Code.FORBIDDEN, scope=KeyScope.OPERATOR.value)
        open_account(view, self.account_id)
        return Reply({"id": self.account_id})


def open_account(view: View, account_id: AccountId) -> None:
    """Make the account if there is none."""
    if view.get(Account, account_id) is None:
        view.put(Account(account_id, view.now.wall_ms))
        audit(view, AuditAction.ACCOUNT_CREATED, target=account_id)


def key_body(key: ApiKey) -> Body:
    """A key as everybody may see it: all but the key itself."""
    return {
        "id": key.id,
        "account_id": key.account_id,
        "name": key.name,
        "scope": str(key.scope),
        "scopes": [str(key.scope)],
        "created_at_ms": key.created_at_ms,
        "created_by": key.created_by,
        "revoked_at_ms": key.revoked_at_ms,
    }


KEY_LIST = ListSpec("keys", (ApiKey,), {"scope": (Filter("api_key", "scope"),)}, order="id")
