"""What is asked about a workspace: read from committed rows by the same functions that decide about it."""

from collections.abc import Iterable
from typing import Any, Protocol

from holdfast.commands.rows import Count, Key, Members, Need, Row
from holdfast.commands.view import View
from holdfast.commands.workspaces import find_workspace, projection, shown_id
from holdfast.domain.actor import Actor
from holdfast.domain.ids import Mint
from holdfast.domain.limits import MINUTE_MS, SECOND_MS
from holdfast.domain.service_time import ServiceState, moment
from holdfast.domain.workspace import Entry, EntryKind, Lifecycle, State


class Rows(Protocol):
    """As much of a store as questions about a workspace take."""

    def get(self, key: Key) -> Row | None:
        """A committed row."""
        ...

    def find(self, members: Members) -> list[Row]:
        """The committed members of a set, newest first."""
        ...

    def count(self, count: Count) -> int:
        """How many committed rows there are of what is counted."""
        ...

    def service_clock(self) -> tuple[ServiceState, int]:
        """The service state and the wall clock."""
        ...


def view_of(rows: Rows, actor: Actor) -> View:
    """A view of committed rows for an actor, which loads what it is asked for and from which nothing is written."""

    def load(needs: Iterable[Need], view: View) -> None:
        for need in needs:
            if isinstance(need, Members):
                view.add_members(need, rows.find(need))
            elif isinstance(need, Count):
                view.add_count(need, rows.count(need))
            else:
                view.add_row(need, rows.get(need))

    view = View(Mint())
    view.load_later_with(load)
    state, now_at_ms = rows.service_clock()
    view.service, view.now = state, moment(state, now_at_ms=now_at_ms)
    view.begin(actor=actor, correlation_id="", entropy=bytes(16))
    return view


def status(rows: Rows, actor: Actor, *, scope: str, actor_id: str | None) -> dict[str, Any]:
    """A workspace's session as `show` reports it. Raises: not_found where it is another project's."""
    view = view_of(rows, actor)
    found = find_workspace(view, scope)
    body = status_of(found.state, now_ms=view.now.wall_ms, actor_id=actor_id)
    return {"revision": found.workspace.revision or None, **body}


def status_of(state: State | None, *, now_ms: int, actor_id: str | None) -> dict[str, Any]:
    """The same of a state; what there is not is None. actor_id: who asks whether it would be in the way."""
    if state is None:
        return {"status": "missing"}
    is_other = state.lifecycle == Lifecycle.AUTONOMOUS and state.owner_id != actor_id
    return {
        "status": "stale" if state.is_stale else "active",
        "session_id": None if state.session_id is None else shown_id(state.session_id),
        "mode": state.mode.value,
        "start_count": state.start_count,
        "started_at_epoch_s": state.started_at_ms // SECOND_MS,
        "last_started_at_epoch_s": state.last_started_at_ms // SECOND_MS,
        "session_minutes": max(0, now_ms // SECOND_MS - state.started_at_ms // SECOND_MS) * SECOND_MS // MINUTE_MS,
        **projection(state),
        "stale": state.is_stale,
        "ownership_conflict": None if actor_id is None else is_other and not state.is_stale,
    }


def token_of(rows: Rows, actor: Actor, *, scope: str) -> int | None:
    """The token of a workspace's session, for whoever compares it and tells nobody; None: there is no session."""
    session = find_workspace(view_of(rows, actor), scope).session
    return None if session is None else session.fencing_token


def sections(rows: Rows, actor: Actor, *, scope: str) -> dict[str, Any]:
    """What an agent is shown of a workspace when it starts, by section, and without what moves with every beat."""
    from holdfast.commands.workspace_entries import entries, escalation_body, gates_body
    from holdfast.commands.workspace_focus import left_in

    view = view_of(rows, actor)
    found = find_workspace(view, scope)
    shown = status_of(found.state, now_ms=view.now.wall_ms, actor_id=None)
    kept = ("status", "session_id", "mode", "start_count", "lifecycle", "owner_kind", "actor_id", "supervisor_id")
    escalations = [escalation_body(each) for each in _in_time(entries(view, scope, EntryKind.ESCALATION))]
    return {
        **left_in(view, scope),
        "gates": gates_body(entries(view, scope, EntryKind.GATE)),
        "escalations": escalations,
        "session": {name: shown.get(name) for name in (*kept, "current_activity")},
    }


def listed(rows: Rows, actor: Actor, *, scope: str, kind: EntryKind) -> dict[str, Any]:
    """A workspace's open escalations, oldest first, or its gates in order."""
    from holdfast.commands.workspace_entries import entries, escalation_body, gates_body

    view = view_of(rows, actor)
    find_workspace(view, scope)
    found = entries(view, scope, kind)
    if kind == EntryKind.GATE:
        return gates_body(found)
    return {"escalations": [escalation_body(each) for each in _in_time(found)]}


def _in_time(found: list[Entry]) -> list[Entry]:
    return sorted(found, key=lambda entry: (entry.at_ms, entry.id))


def baseline(rows: Rows, actor: Actor, *, scope: str) -> dict[str, Any] | None:
    """The newest baseline of the session that works in a workspace: its digests by section; None: there is none."""
    import json

    from holdfast.commands.workspace_entries import entries

    view = view_of(rows, actor)
    state = find_workspace(view, scope).state
    if state is None or state.session_id is None:
        return None
    for each in entries(view, scope, EntryKind.BASELINE):
        if each.session_id == shown_id(state.session_id):
            digests: dict[str, Any] = json.loads(each.body_json or "{}")
            return digests
    return None
