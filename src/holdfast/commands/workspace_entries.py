"""What hangs on a workspace: escalations and gates that people set, and what was recorded of its sessions."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.rows import Key, Members, Need, SetSpec
from holdfast.commands.view import Reply, View
from holdfast.commands.workspaces import find_workspace, shown_id, workspace_key
from holdfast.domain.actor import Actor
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.limits import SECOND_MS
from holdfast.domain.workspace import ENTRIES_MAX, Entry, EntryKind

ENTRIES = SetSpec("workspace_entries", Entry, ("account_id", "scope", "kind"), order="id", limit=3 * ENTRIES_MAX)
"""All of a kind: those of two files of an older kind may have come on top of as many as anybody may add."""


class AddEscalation(NamedTuple):
    """Ask a person for something; a blocking one outlives the session."""

    scope: str
    reason: str
    blocking: bool = False

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace, which guards its entries."""
        return _needs(actor, self.scope, EntryKind.ESCALATION)

    def decide(self, view: View) -> Reply:
        """The escalation. Raises: workspace_full."""
        found = find_workspace(view, self.scope)
        if len(entries(view, self.scope, EntryKind.ESCALATION)) >= ENTRIES_MAX:
            raise Refusal(Code.WORKSPACE_FULL, limit=ENTRIES_MAX, what="escalations")
        view.put(found.workspace)
        session_id = found.workspace.session_id
        entry = put_entry(
            view, self.scope, EntryKind.ESCALATION, text=self.reason, session_id=session_id, flag=self.blocking
        )
        return Reply({"escalation": escalation_body(entry)}, created=True)


class ImportEscalations(NamedTuple):
    """Bring in escalations of an older kind, each an object with `id`, `kind`, `reason` and `created_at_epoch_s`."""

    scope: str
    entries_json: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace, which guards its entries."""
        return _needs(actor, self.scope, EntryKind.ESCALATION)

    def decide(self, view: View) -> Reply:
        """How many there were."""
        import json

        rows: list[dict[str, Any]] = json.loads(self.entries_json)
        view.put(find_workspace(view, self.scope).workspace)
        for row in rows:
            view.put(
                Entry(
                    account_id=view.actor.account_id,
                    scope=self.scope,
                    id=row["id"],
                    kind=EntryKind.ESCALATION,
                    session_id=row.get("session_id"),
                    position=0,
                    flag=row["kind"] == "blocking",
                    text=row["reason"],
                    body_json=None,
                    at_ms=row["created_at_epoch_s"] * SECOND_MS,
                )
            )
        return Reply({"imported": len(rows)}, created=True)


class ResolveEscalation(NamedTuple):
    """What was asked for is done."""

    scope: str
    id: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace, which guards its entries, and the escalation."""
        return workspace_key(actor.account_id, self.scope), Key(Entry, (actor.account_id, self.scope, self.id))

    def decide(self, view: View) -> Reply:
        """The escalation as it was. Raises: not_found."""
        find_workspace(view, self.scope)
        entry = view.get(Entry, view.actor.account_id, self.scope, self.id)
        if entry is None or entry.kind != EntryKind.ESCALATION:
            raise Refusal(Code.NOT_FOUND, what="escalation")
        remove_entry(view, entry)
        return Reply({"escalation": escalation_body(entry)})


class SetGates(NamedTuple):
    """What has to be met, in order: pairs of the text and whether it is. An empty list clears them."""

    scope: str
    gates: tuple[tuple[str, bool], ...]

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace, which guards its entries."""
        return _needs(actor, self.scope, EntryKind.GATE)

    def decide(self, view: View) -> Reply:
        """The gates and the one to attend to. Raises: workspace_full."""
        found = find_workspace(view, self.scope)
        if len(self.gates) > ENTRIES_MAX:
            raise Refusal(Code.WORKSPACE_FULL, limit=ENTRIES_MAX, what="gates")
        for entry in entries(view, self.scope, EntryKind.GATE):
            remove_entry(view, entry)
        if self.gates:
            view.put(found.workspace)
        for position, (text, is_met) in enumerate(self.gates, 1):
            put_entry(
                view,
                self.scope,
                EntryKind.GATE,
                text=text,
                session_id=found.workspace.session_id,
                flag=is_met,
                position=position,
            )
        return Reply(gates_body(entries(view, self.scope, EntryKind.GATE)))


def _needs(actor: Actor, scope: str, kind: EntryKind) -> tuple[Need, ...]:
    return workspace_key(actor.account_id, scope), Members(ENTRIES, (actor.account_id, scope, kind))


def entries(view: View, scope: str, kind: EntryKind) -> list[Entry]:
    """A workspace's entries of a kind, newest first."""
    return view.members(Members(ENTRIES, (view.actor.account_id, scope, kind)))


def put_entry(
    view: View,
    scope: str,
    kind: EntryKind,
    *,
    text: str,
    session_id: str | None,
    flag: bool = False,
    position: int = 0,
    body_json: str | None = None,
    keeps: int | None = None,
) -> Entry:
    """Leave a new entry to be written. keeps: how many of its kind there are at most; the oldest go."""
    entry = Entry(
        account_id=view.actor.account_id,
        scope=scope,
        id=view.mint(_PREFIX[kind]),
        kind=kind,
        session_id=session_id,
        position=position,
        flag=flag,
        text=text,
        body_json=body_json,
        at_ms=view.now.wall_ms,
    )
    if keeps is not None:
        for old in entries(view, scope, kind)[keeps - 1 :]:
            remove_entry(view, old)
    view.put(entry)
    return entry


_PREFIX = {EntryKind.ESCALATION: "esc", EntryKind.GATE: "gate", EntryKind.COST: "cost", EntryKind.BASELINE: "base"}


def remove_entry(view: View, entry: Entry) -> None:
    """Leave an entry to be deleted."""
    view.delete(Key(Entry, (entry.account_id, entry.scope, entry.id)))


def escalation_body(entry: Entry) -> dict[str, Any]:
    """An escalation as everybody sees it."""
    return {
        "id": entry.id,
        "kind": "blocking" if entry.flag else "non_blocking",
        "reason": entry.text,
        "created_at_epoch_s": entry.at_ms // SECOND_MS,
        "session_id": None if entry.session_id is None else shown_id(entry.session_id),
    }


def gates_body(found: Iterable[Entry]) -> dict[str, Any]:
    """A workspace's gates in order, and the first that is not met."""
    gates = [
        {"position": each.position, "text": each.text, "met": each.flag}
        for each in sorted(found, key=lambda each: each.position)
    ]
    return {"gates": gates, "attention_anchor": next((each["text"] for each in gates if not each["met"]), None)}
