"""Beginning and ending the session of a workspace: start, take over, clear, and bring in a row of an older kind.

What a session of the core is and may do is asked of the core; see `commands.starts`.
"""

import json
from collections.abc import Iterable
from typing import Any, Final, NamedTuple

from holdfast.commands.beginning import About, new_profile
from holdfast.commands.holding import audit, find_profile, find_scope, record
from holdfast.commands.rows import Key, Members, Need, scope_key
from holdfast.commands.starts import StartSession, TakeOver
from holdfast.commands.view import Reply, View
from holdfast.commands.workspace_entries import ENTRIES, entries, put_entry, remove_entry
from holdfast.commands.workspace_focus import focus, focus_needs
from holdfast.commands.workspaces import Found, find_workspace, of_present, projection, shown_id, workspace_key
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Code, Identity, Refusal
from holdfast.domain.ids import SessionId
from holdfast.domain.limits import LEASE_MS_MAX, SECOND_MS
from holdfast.domain.policy import AUTONOMOUS, INTERACTIVE, Policy, PolicyRequest, resolve
from holdfast.domain.scope import ScopeParts, acquire
from holdfast.domain.service_time import Moment
from holdfast.domain.session import EndReason
from holdfast.domain.workspace import (
    BASELINES_MAX,
    COSTS_MAX,
    Entry,
    EntryKind,
    Mode,
    OwnerKind,
    State,
    Step,
    Workspace,
    lifecycle_of,
    require_clearable,
    require_expected,
    require_takeover,
    start_step,
)


class StartWorkspace(NamedTuple):
    """Start working in a workspace, or go on.

    mode: None: as it was, else general. lease_seconds: of an autonomous session; None for a person.
    sections_json: what else an agent would be shown, by name, for the baseline; None keeps none.
    """

    scope: str
    owner_kind: OwnerKind
    actor_id: str
    mode: Mode | None = None
    supervisor_id: str | None = None
    lease_seconds: int | None = None
    machine_id: str | None = None
    parts: ScopeParts = ScopeParts()

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace's row, what leaving it takes, and what a start on its scope takes."""
        return *_needs_of_leaving(actor, self.scope), *self._start(Mode.GENERAL).needs(actor)

    def decide(self, view: View) -> Reply:
        """The session, its token, and whether it was begun anew. Raises: what `start_step` and a start raise."""
        found = find_workspace(view, self.scope)
        state = found.state
        step = start_step(state, lifecycle=lifecycle_of(self.owner_kind), actor_id=self.actor_id)
        if step == Step.REFRESH:
            assert found.session is not None
            # The same holder may come back as another kind; the core recognises it by both.
            view.put(of_present(found.session, now=view.now)._replace(agent=self.owner_kind.value))
        else:
            _leave(view, found, ended_by="reset", end_reason=EndReason.STALE)
            forget(view, self.scope, EntryKind.GATE)
            forget(view, self.scope, EntryKind.ESCALATION, only_flag=False)
        inherited = None if state is None else state.supervisor_id
        mode = self.mode or (state.mode if state is not None and step == Step.REFRESH else Mode.GENERAL)
        started = self._start(mode).decide(view)
        now_ms = view.now.wall_ms
        workspace = found.workspace._replace(
            revision=found.workspace.revision + 1,
            session_id=SessionId(started.body["id"]),
            start_count=found.workspace.start_count + 1 if step == Step.REFRESH else 1,
            beat_count=found.workspace.beat_count if step == Step.REFRESH else 0,
            last_started_at_ms=now_ms,
            supervisor_id=self.supervisor_id or inherited,
            activity_at_ms=found.workspace.activity_at_ms if step == Step.REFRESH else None,
            legacy_json=None,
        )
        view.put(workspace)
        return Reply(
            {**_report(view, self.scope, started), "reset": step != Step.REFRESH, "refreshed": step == Step.REFRESH},
            created=step != Step.REFRESH,
        )

    def _start(self, mode: Mode) -> StartSession:
        about = About(parts=self.parts, mode=mode.value, machine_id=self.machine_id)
        policy = policy_request(self.lease_seconds)
        return StartSession(self.scope, self.owner_kind.value, self.actor_id, policy, exclusive=True, about=about)


class TakeOverWorkspace(NamedTuple):
    """Adopt what an agent left whose lease ran out.

    expected_revision: the one that the caller decided on; None: any.
    """

    scope: str
    actor_id: str
    reason: str
    supervisor_id: str | None = None
    lease_seconds: int | None = None
    machine_id: str | None = None
    expected_revision: int | None = None

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace's row, from which its session follows, and what leaving it and a start on its scope take."""
        start = self._start(TakeOver(self.reason), Mode.GENERAL, ScopeParts(), lease_seconds=None)
        return *_needs_of_leaving(actor, self.scope), *start.needs(actor)

    def decide(self, view: View) -> Reply:
        """The new session and its token, and whose the old one was.

        Raises: workspace_changed, what `require_takeover` and a start raise.
        """
        found = find_workspace(view, self.scope)
        revision = found.workspace.revision
        require_expected(found.state, revision=revision, expected_revision=self.expected_revision, command="takeover")
        state, lease_s = require_takeover(found.state, actor_id=self.actor_id, lease_seconds=self.lease_seconds)
        _cost(view, found, ended_by="takeover")
        old = found.session
        take_over = None if old is None else TakeOver(self.reason, old.id)
        start = self._start(take_over, state.mode, _parts(view, found), lease_seconds=lease_s)
        if old is None:
            audit(view, AuditAction.SESSION_TAKEN_OVER, target=state.session_id or self.scope, reason=self.reason)
        started = start.decide(view)
        view.put(
            found.workspace._replace(
                revision=revision + 1,
                session_id=SessionId(started.body["id"]),
                start_count=1,
                beat_count=0,
                last_started_at_ms=view.now.wall_ms,
                supervisor_id=self.supervisor_id or state.supervisor_id,
                activity_at_ms=None,
                legacy_json=None,
            )
        )
        prior = None if state.session_id is None else shown_id(state.session_id)
        report = _report(view, self.scope, started)
        for name in ("started_at_epoch_s", "last_started_at_epoch_s", "start_count", "mode", "lifecycle", "owner_kind"):
            del report[name]
        return Reply(
            {"prior_session_id": prior, "prior_actor_id": state.owner, **report, "reason": self.reason}, created=True
        )

    def _start(
        self, take_over: TakeOver | None, mode: Mode, parts: ScopeParts, *, lease_seconds: int | None
    ) -> StartSession:
        return StartSession(
            self.scope,
            OwnerKind.RUNTIME_WORKER.value,
            self.actor_id,
            policy_request(lease_seconds),
            exclusive=True,
            take_over=take_over,
            about=About(parts, mode=mode.value, machine_id=self.machine_id),
        )


class ClearWorkspace(NamedTuple):
    """End the session of a workspace, and forget what it asked for.

    force: somebody insists, and says why; nobody knows whether they are who they say.
    expected_session_id: as this door shows it, the one that the caller decided on; None: any.
    expected_revision: the one at which it was seen.
    """

    scope: str
    actor_id: str | None = None
    reason: str | None = None
    force: bool = False
    expected_session_id: str | None = None
    expected_revision: int = 0

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace's row, from which its session follows, and what leaving it takes."""
        return _needs_of_leaving(actor, self.scope)

    def decide(self, view: View) -> Reply:
        """What was cleared, if anything was there. Raises: what `require_clearable` raises; workspace_changed."""
        found = find_workspace(view, self.scope)
        state = found.state
        if state is None:
            forget(view, self.scope, EntryKind.ESCALATION)
            forget(view, self.scope, EntryKind.GATE)
            return Reply({"cleared": False, "reason": self.reason})
        require_clearable(state, actor_id=self.actor_id, is_forced=self.force, now_ms=view.now.wall_ms)
        session_id = None if state.session_id is None else shown_id(state.session_id)
        if self.expected_session_id not in (None, session_id):
            # Whoever decided to clear meant another session.
            expected = self.expected_revision
            require_expected(state, revision=state.revision, expected_revision=expected, command="clear")
        if self.force:
            told = json.dumps({"claimed_by": self.actor_id, "is_verified": False})
            target = state.session_id or self.scope
            audit(view, AuditAction.WORKSPACE_FORCE_CLEARED, target=target, reason=self.reason, data_json=told)
        _leave(view, found, ended_by="clear", end_reason=EndReason.CLEARED)
        forget(view, self.scope, EntryKind.ESCALATION)
        forget(view, self.scope, EntryKind.GATE)
        workspace = found.workspace._replace(
            revision=found.workspace.revision + 1,
            session_id=None,
            supervisor_id=None,
            activity_at_ms=None,
            legacy_json=None,
        )
        view.put(workspace)
        return Reply(
            {
                "cleared": True,
                "reason": self.reason,
                "lifecycle": state.lifecycle.value,
                "owner_kind": state.owner_kind.value,
                "actor_id": state.owner_id,
                "supervisor_id": state.supervisor_id,
                "cleared_revision": workspace.revision,
            }
        )


class ImportWorkspace(NamedTuple):
    """Bring in the row of an older kind, from its file; nothing where a session is known already.

    row_json: an object that `legacy_row` has checked.
    """

    scope: str
    row_json: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace's row."""
        return (workspace_key(actor.account_id, self.scope),)

    def decide(self, view: View) -> Reply:
        """Whether it was brought in."""
        found = find_workspace(view, self.scope)
        if found.workspace.revision or found.state is not None:
            return Reply({"imported": False})
        row: dict[str, Any] = json.loads(self.row_json)
        workspace = found.workspace._replace(
            revision=row.get("revision", 0),
            start_count=row["start_count"],
            last_started_at_ms=row["last_started_at_epoch_s"] * SECOND_MS,
            supervisor_id=row.get("supervisor_id"),
        )
        session_id = row.get("session_id")
        is_interactive = row["owner_kind"] == OwnerKind.INTERACTIVE
        lacks = not is_interactive and None in (
            row.get("lease_ttl_secs") or None,
            row.get("last_heartbeat_at_epoch_s"),
            row.get("owner_id"),
        )
        if session_id is None or lacks:
            view.put(workspace._replace(legacy_json=self.row_json))
        else:
            core_id = SessionId("sess_" + session_id[4:] if _is_core(session_id) else session_id)
            self._begin(view, core_id, row)
            view.put(workspace._replace(session_id=core_id))
        return Reply({"imported": True}, created=True)

    def _begin(self, view: View, session_id: SessionId, row: dict[str, Any]) -> None:
        """A session of the core as it would be, had it been one from its start."""
        is_interactive = row["owner_kind"] == OwnerKind.INTERACTIVE
        policy: Policy = resolve(policy_request(None if is_interactive else row["lease_ttl_secs"]))
        seen_at_s = row["last_started_at_epoch_s"] if is_interactive else row["last_heartbeat_at_epoch_s"]
        scope = acquire(
            find_scope(view, view.actor.account_id, self.scope),
            is_exclusive=True,
            token_floor=view.service.token_floor,
        )
        session = lifecycle.begin(
            Identity(self.scope, row["owner_kind"], row.get("owner_id") or "interactive"),
            session_id=session_id,
            account_id=view.actor.account_id,
            policy=policy,
            is_exclusive=True,
            fencing_token=scope.last_token,
            now=Moment(seen_at_s * SECOND_MS, seen_at_s * SECOND_MS),
        )
        about = About(mode=row["mode"])
        profile = new_profile(view, session_id, preset=policy.preset, about=about)
        view.put(scope)
        view.put(session)
        view.put(profile._replace(started_at_ms=row["started_at_epoch_s"] * SECOND_MS))


_CROCKFORD: Final = frozenset("0123456789ABCDEFGHJKMNPQRSTVWXYZ")
_ULID_CHARS: Final = 26


def _is_core(session_id: str) -> bool:
    """Whether an id is one of the core's under this door's prefix."""
    tail = session_id.removeprefix("ses_")
    return session_id.startswith("ses_") and len(tail) == _ULID_CHARS and set(tail) <= _CROCKFORD


def policy_request(lease_seconds: int | None) -> PolicyRequest:
    """The policy of a person's session, or of one under such a lease."""
    if lease_seconds is None:
        return PolicyRequest(preset=INTERACTIVE.preset)
    return PolicyRequest(preset=AUTONOMOUS, lease_ms=lease_seconds * SECOND_MS)


def legacy_row(text: str) -> dict[str, Any]:
    """A session file of an older kind, with what it left out. Raises: ValueError, which says what is wrong with it."""
    row = json.loads(text)
    if not isinstance(row, dict):
        raise ValueError("it is not a JSON object")
    numbers = {
        "schema_version": True,
        "started_at_epoch_s": True,
        "last_started_at_epoch_s": True,
        "start_count": True,
        "lease_ttl_secs": False,
        "last_heartbeat_at_epoch_s": False,
        "revision": False,
    }
    for name, is_required in numbers.items():
        value = row.get(name)
        if not is_natural(value) and (is_required or value is not None):
            raise ValueError(f"`{name}` is missing or not a number")
    for name in ("session_id", "owner_id", "supervisor_id"):
        if row.get(name) is not None and not is_kept(row[name]):
            raise ValueError(f"`{name}` is not text")
    for name, kind, default in (("mode", Mode, Mode.GENERAL), ("owner_kind", OwnerKind, OwnerKind.INTERACTIVE)):
        row.setdefault(name, default.value)
        if row[name] not in [each.value for each in kind]:
            raise ValueError(f"`{name}` is {row[name]!r}, which is none that there is")
    row["revision"] = row.get("revision") or 0
    lease_s = row.get("lease_ttl_secs")
    if lease_s is not None and lease_s > LEASE_MS_MAX // SECOND_MS:
        row["lease_ttl_secs"] = LEASE_MS_MAX // SECOND_MS
    return row


def is_natural(value: object) -> bool:
    """Whether a value is a count or a time that a row can hold."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**40


def is_kept(value: object) -> bool:
    """Whether a value is text that a row can hold, which a lone surrogate is not."""
    return isinstance(value, str) and value.encode(errors="replace").decode() == value


def _parts(view: View, found: Found) -> ScopeParts:
    if found.session is None:
        return ScopeParts()
    profile = find_profile(view, found.session)
    return ScopeParts(profile.project_id, profile.venture, profile.repo, profile.track, profile.workspace)


def _report(view: View, scope: str, started: Reply) -> dict[str, Any]:
    """What a start and a takeover have in common."""
    found = find_workspace(view, scope)
    state = found.state
    assert state is not None
    assert state.session_id is not None
    return {
        "started_at_epoch_s": state.started_at_ms // SECOND_MS,
        "last_started_at_epoch_s": state.last_started_at_ms // SECOND_MS,
        "start_count": state.start_count,
        "session_id": shown_id(state.session_id),
        "mode": state.mode.value,
        **projection(state),
        "fencing_token": started.body["fencing_token"],
    }


def _needs_of_leaving(actor: Actor, scope: str) -> list[Need]:
    """What ending the session of a workspace takes but for the session, which only its row names."""
    account_id = actor.account_id
    kinds = (EntryKind.GATE, EntryKind.ESCALATION, EntryKind.COST)
    return [
        workspace_key(account_id, scope),
        scope_key(account_id, scope),
        *focus_needs(actor, scope),
        *[Members(ENTRIES, (account_id, scope, kind)) for kind in kinds],
    ]


def _leave(view: View, found: Found, *, ended_by: str, end_reason: EndReason) -> None:
    """End what there is, if it is not over by itself, and keep what it cost."""
    if found.state is None:
        return
    _cost(view, found, ended_by=ended_by)
    session = found.session
    if session is None or not lifecycle.can_acquire(lifecycle.settle(session, now=view.now).session):
        return
    scope = find_scope(view, session.account_id, session.scope)
    profile = find_profile(view, session)
    record(view, lifecycle.end(session, end_reason=end_reason, scope=scope, now=view.now))
    view.put(profile._replace(ended_at_ms=view.now.wall_ms))


def _cost(view: View, found: Found, *, ended_by: str) -> None:
    """Keep what a session that ends cost, and what it was about."""
    state = found.state
    assert state is not None
    gates = sorted(entries(view, found.workspace.scope, EntryKind.GATE), key=lambda gate: gate.position)
    body = {
        "actor_id": state.owner_id,
        "seconds": max(0, view.now.wall_ms - state.started_at_ms) // SECOND_MS,
        "starts": state.start_count,
        "heartbeats": found.workspace.beat_count,
        "tokens": None,
        "focus": {
            "attention_anchor": next((gate.text for gate in gates if not gate.flag), None),
            **focus(view, found.workspace.scope),
        },
    }
    put_entry(
        view,
        found.workspace.scope,
        EntryKind.COST,
        text=ended_by,
        session_id=state.session_id,
        body_json=json.dumps(body, ensure_ascii=False),
        keeps=COSTS_MAX,
    )


def forget(view: View, scope: str, kind: EntryKind, *, only_flag: bool | None = None) -> int:
    """Delete a workspace's entries of a kind, or those with this flag; how many that were."""
    found: list[Entry] = [each for each in entries(view, scope, kind) if only_flag is None or each.flag == only_flag]
    for entry in found:
        remove_entry(view, entry)
    return len(found)


class KeepBaseline(NamedTuple):
    """Keep the digests of what an agent was shown when it started. sections_json: digests, by section."""

    scope: str
    session_id: str
    sections_json: str

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The workspace's row."""
        return (Key(Workspace, (actor.account_id, self.scope)),)

    def decide(self, view: View) -> Reply:
        """Nothing but that it was kept. Raises: workspace_empty where that session is gone."""
        found = find_workspace(view, self.scope)
        state: State | None = found.state
        if state is None or state.session_id is None or shown_id(state.session_id) != self.session_id:
            raise Refusal(Code.WORKSPACE_EMPTY)
        put_entry(
            view,
            self.scope,
            EntryKind.BASELINE,
            text="start",
            session_id=self.session_id,
            body_json=self.sections_json,
            keeps=BASELINES_MAX,
        )
        return Reply({"kept": True})
