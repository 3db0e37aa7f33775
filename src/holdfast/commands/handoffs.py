"""Handoffs on their own: left by a session that goes on, taken up, given back, and the schemas of their payloads."""

from collections.abc import Iterable
from typing import Final, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.bodies import Body, handoff_body
from holdfast.commands.heartbeats import next_beat
from holdfast.commands.holding import change, find_profile, find_session
from holdfast.commands.leaving import SAID_BEFORE, keep_orphan, leave, said_before, tell
from holdfast.commands.lists import Filter, ListSpec, Operator
from holdfast.commands.rows import Key, Members, Need, both_keys, handoff_key
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Action, Code, Refusal, WayOut
from holdfast.domain.events import EventType, Rule
from holdfast.domain.fencing import check_token
from holdfast.domain.handoff import Draft, Handoff, HandoffSchema, HandoffStatus, stepped
from holdfast.domain.ids import HandoffId, SessionId

_COLUMNS = (
    *("session_id", "scope", "venture", "repo", "track", "issue_number", "project_id", "from_agent", "status"),
    "status_label",
)

_FILTERS: Final[dict[str, tuple[Filter, ...]]] = {
    **{name: (Filter("handoff", name),) for name in _COLUMNS},
    "bound_project_id": (Filter("handoff", "project_id"),),
    "to_agent": (Filter("handoff", "to_agent", Operator.AMONG_GIVEN),),
    "created_before": (Filter("handoff", "created_at_ms", Operator.BEFORE),),
    "created_after": (Filter("handoff", "created_at_ms", Operator.FROM),),
}

HANDOFF_LIST = ListSpec("handoffs", (Handoff,), _FILTERS, order="id")
"""Without what may be long: who wants it reads it of the rows of a page, as far as they fit into an answer."""

SCHEMA_LIST = ListSpec("handoff_schemas", (HandoffSchema,), {}, order="id", descending=False)


class CreateHandoff(NamedTuple):
    """Leave a handoff and go on; it counts as a beat. Said again, it is answered as it was the first time.

    Of a session that is over, it is kept as an orphan, and the reply holds the refusal.
    """

    session_id: SessionId
    fencing_token: int | None
    draft: Draft

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The two rows of the session, and its handoff that says the same."""
        return *both_keys(self.session_id), Members(SAID_BEFORE, (self.session_id, self.draft.digest))

    def decide(self, view: View) -> Reply:
        """The handoff without what may be long, and when to beat next."""
        session = find_session(view, self.session_id)
        known = said_before(view, session, self.draft)
        if known is not None and known.orphan_reason is None:
            check_token(session, given=self.fencing_token, now=view.now)
            settled = lifecycle.settle(session, now=view.now).session
            return Reply({**handoff_body(known, None), **next_beat(settled, view)})
        try:
            changed = change(
                view,
                session,
                fencing_token=self.fencing_token,
                verb=lambda session, scope, now: lifecycle.require_writable(session, scope=scope, now=now),
            )
        except Refusal as refusal:
            return keep_orphan(view, session, find_profile(view, session), self.draft, refusal=refusal)
        handoff = leave(view, changed.session, find_profile(view, session), self.draft)
        return Reply({**handoff_body(handoff, None), **next_beat(changed.session, view)}, created=True)


class SetHandoffStatus(NamedTuple):
    """Take a handoff up, finish it, give it back, or withdraw it. to: one of `domain.handoff.SETTABLE`."""

    handoff_id: HandoffId
    to: HandoffStatus
    note: str | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The row of the handoff."""
        return (handoff_key(self.handoff_id),)

    def decide(self, view: View) -> Reply:
        """The handoff without what may be long. Raises: not_found, handoff_settled, forbidden."""
        before = find_handoff(view, self.handoff_id)
        after = stepped(before, to=self.to, actor=view.actor, note=self.note, now_ms=view.now.wall_ms)
        if after != before:
            view.put(after)
            tell(view, after, _TOLD[self.to], Rule.REQUESTED)
        return Reply(handoff_body(after, None))


_TOLD: Final = {
    HandoffStatus.ACKNOWLEDGED: EventType.HANDOFF_ACKNOWLEDGED,
    HandoffStatus.DONE: EventType.HANDOFF_DONE,
    HandoffStatus.RETURNED: EventType.HANDOFF_RETURNED,
    HandoffStatus.WITHDRAWN: EventType.HANDOFF_WITHDRAWN,
}


def find_handoff(view: View, handoff_id: HandoffId) -> Handoff:
    """A handoff that there is for the actor. Raises: not_found, the same for a foreign one as for none."""
    handoff = view.get(Handoff, handoff_id)
    if handoff is None or not is_there_for(handoff, view.actor):
        raise handoff_not_found()
    return handoff


def is_there_for(handoff: Handoff, actor: Actor) -> bool:
    """Whether a handoff is in the actor's account, and in its project where it is bound to one."""
    return handoff.account_id == actor.account_id and actor.project_id in (None, handoff.project_id)


def handoff_not_found() -> Refusal:
    """The answer for a handoff that there is not."""
    return Refusal(Code.NOT_FOUND, what="handoff")


class RegisterSchema(NamedTuple):
    """Register a version of a schema for payloads. The same one again changes nothing. id: `name/version`."""

    id: str
    schema_json: str
    sha256: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, and the schema."""
        return account_key(actor.account_id), schema_key(actor, self.id)

    def decide(self, view: View) -> Reply:
        """The schema. Raises: handoff_schema_exists for a version that says something else."""
        require_account(view)
        found = view.get(HandoffSchema, view.actor.account_id, self.id)
        if found is not None:
            if found.sha256 != self.sha256:
                ways_out = (WayOut(Action.REGISTER_VERSION),)
                raise Refusal(Code.HANDOFF_SCHEMA_EXISTS, schema=self.id, ways_out=ways_out)
            return Reply(schema_body(found))
        schema = HandoffSchema(
            account_id=view.actor.account_id,
            id=self.id,
            schema_json=self.schema_json,
            sha256=self.sha256,
            created_at_ms=view.now.wall_ms,
            key_id=view.actor.key_id,
        )
        view.put(schema)
        return Reply(schema_body(schema), created=True)


def schema_key(actor: Actor, schema_id: str) -> Key:
    """The row of a schema in the actor's account."""
    return Key(HandoffSchema, (actor.account_id, schema_id))


def schema_body(schema: HandoffSchema) -> Body:
    """A schema, whole."""
    name, _, version = schema.id.partition("/")
    return {
        "id": schema.id,
        "name": name,
        "version": version,
        "sha256": schema.sha256,
        "schema_json": schema.schema_json,
        "created_at_ms": schema.created_at_ms,
        "created_by": schema.key_id,
    }
