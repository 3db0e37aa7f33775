"""Who asks: an account, a key, and what the key may do."""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.errors import Code, Refusal
from holdfast.domain.ids import AccountId, KeyId


class KeyScope(StrEnum):
    """What a key may do; each includes all that the ones before it may."""

    READ = "read"
    AGENT = "agent"
    OPERATOR = "operator"
    ADMIN = "admin"


RANK = {scope: rank for rank, scope in enumerate(KeyScope)}


class Actor(NamedTuple):
    """The caller of a command: the account it acts for, and the key that says so.

    project_id: the one project whose sessions there are for this caller; None: it is bound to none.
    """

    account_id: AccountId
    key_id: KeyId
    scope: KeyScope
    project_id: str | None = None


def may(actor: Actor, scope: KeyScope) -> bool:
    """Whether the actor's key includes this scope."""
    return RANK[actor.scope] >= RANK[scope]


def require(actor: Actor, scope: KeyScope) -> None:
    """Refuse an actor whose key does not include this scope.

    Raises: forbidden.
    """
    if not may(actor, scope):
        raise Refusal(Code.FORBIDDEN, scope=scope.value)


PROJECT_SCOPES = frozenset({KeyScope.READ, KeyScope.AGENT})
"""What a key that is bound to a project may be: whoever steps in or makes keys does so for a whole account."""


SWEEPER_KEY = KeyId("sweeper")
"""What stands as the key wherever time, and no caller, has decided."""

JOB_RUNNER_KEY = KeyId("job_runner")
"""What stands as the key wherever a recurring job has acted."""

ALERTS_KEY = KeyId("alerts")
"""What stands as the key wherever an alert rule has spoken."""

WEBHOOKS_KEY = KeyId("webhooks")
"""What stands as the key wherever webhooks are dispatched."""
