"""What every way of beginning a session shares: who is in its way, its rows, and what the last ones left."""

from typing import Any, NamedTuple

from holdfast.commands.accounts import LIVE_SESSIONS, require_account
from holdfast.commands.bodies import checkpoint_body, recoverable_body
from holdfast.commands.holding import (
    ALL_HOLDERS,
    LAST_CHECKPOINTS,
    NEWEST_HOLDERS,
    NEWEST_OF_SCOPE,
    audit,
    find_holders,
    find_profile,
    find_scope,
    is_seen,
    record,
    seen,
)
from holdfast.commands.leaving import is_end, last_handoff, needs_of_draft
from holdfast.commands.projects import ensure_project
from holdfast.commands.releasing import require_held
from holdfast.commands.rows import Count, Members, Need, both_keys, profile_key
from holdfast.commands.slots import machine_key, slots_of
from holdfast.commands.view import View
from holdfast.domain import lifecycle
from holdfast.domain.account import Account, require_room
from holdfast.domain.actor import Actor
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, Identity, Refusal, WayOut
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.ids import SessionId
from holdfast.domain.lifecycle import HOLDING, LIVE, phase, settle
from holdfast.domain.limits import SCOPE_SESSIONS_MAX
from holdfast.domain.policy import PRESET_NAMES, Policy, PolicyRequest
from holdfast.domain.scope import ScopeParts, acquire, own_scope, unused
from holdfast.domain.service_time import Moment
from holdfast.domain.session import (
    ClientSession,
    Session,
    SessionProfile,
    Status,
)


class About(NamedTuple):
    """What a start says of its session that no rule reads. None: not said."""

    parts: ScopeParts = ScopeParts()
    mode: str | None = None
    machine_id: str | None = None
    slot: int | None = None
    parent_id: str | None = None
    group_id: str | None = None
    meta_json: str | None = None
    branch: str | None = None
    commit_sha: str | None = None
    issue_number: int | None = None
    client: str | None = None
    client_version: str | None = None
    host: str | None = None

    @property
    def columns(self) -> dict[str, Any]:
        """Everything, by the names of a profile's columns; what is not said is None."""
        said = self._asdict()
        return {**said.pop("parts")._asdict(), **said}


def begin(
    view: View,
    profile: SessionProfile,
    identity: Identity,
    *,
    policy: Policy,
    is_exclusive: bool,
    recoveries_left: int | None = None,
) -> Session:
    """Leave a new session of this profile in the view, under its scope's next token. Raises: quota_exceeded."""
    account_id, scope = profile.account_id, identity.scope
    # Nobody can have acquired the scope of a session that has only now been given its id.
    is_own = scope == own_scope(profile.id)
    before = unused(account_id, scope) if is_own else find_scope(view, account_id, scope)
    row = acquire(before, is_exclusive=is_exclusive, token_floor=view.service.token_floor)
    session = lifecycle.begin(
        identity,
        session_id=profile.id,
        account_id=account_id,
        policy=policy,
        is_exclusive=is_exclusive,
        fencing_token=row.last_token,
        now=view.now,
    )._replace(recoveries_left=recoveries_left)
    view.put(row)
    view.put(session)
    view.put(profile)
    check_room(view)
    data: Data = {"scope": scope, "agent": identity.agent, "exclusive": is_exclusive}
    data |= {"took_over_from": profile.took_over_from, "recovered_from": profile.recovered_from}
    happening = Happening(EventType.STARTED, Rule.REQUESTED, view.now.wall_ms, data)
    ensure_project(view, profile.project_id)
    view.emit((happening,), session_id=profile.id, account_id=account_id, project_id=profile.project_id)
    return session


def needs_of_machine(actor: Actor, about: About) -> list[Need]:
    """The machine on which a session begins, and its slots."""
    if about.machine_id is None:
        return []
    return [machine_key(actor.account_id, about.machine_id), slots_of(actor.account_id, about.machine_id)]


def look_around(view: View, scope: str) -> None:
    """Have at hand, in one round, what a start asks about only now and then.

    For an actor that is bound to a project: whose the scope's sessions are. For an account with a limit: its sessions,
    counted.
    """
    needs: list[Need] = []
    account_id = view.actor.account_id
    if view.actor.project_id is not None:
        holders = find_holders(view, NEWEST_HOLDERS, account_id, scope)
        writers = [each.session_id for each in view.members(Members(LAST_CHECKPOINTS, (account_id, scope)))]
        newest = [session.id for session in view.members(Members(NEWEST_OF_SCOPE, (account_id, scope)))]
        needs += [key for each in (*[holder.id for holder in holders], *writers, *newest) for key in both_keys(each)]
    account = view.get(Account, account_id)
    if account is not None and account.live_sessions_max is not None:
        needs.append(Count(LIVE_SESSIONS, (account_id,)))
    view.require(*needs)


def record_broken_off(view: View, scope: str) -> None:
    """Record of the scope's holders what time has made of those that broke off, before the sweeper comes by.

    So whoever starts is shown the handoff that is drafted then.
    """
    holders = find_holders(view, NEWEST_HOLDERS, view.actor.account_id, scope)
    settled = [settle(each, now=view.now) for each in holders]
    broken_off = [each for each in settled if is_end(each.happenings)]
    sessions = [each.session for each in broken_off]
    view.require(*needs_of_ending(sessions))
    require_held(view, sessions)
    for each in broken_off:
        record(view, each._replace(session=lifecycle.rescheduled(each.session)))


def within_project(about: About, actor: Actor) -> About:
    """What is said of a session, on the project of an actor that is bound to one. Raises: not_found for another."""
    project_id = actor.project_id
    if project_id is None or about.parts.project_id == project_id:
        return about
    if about.parts.project_id is not None:
        raise Refusal(Code.NOT_FOUND, what="project", ways_out=(WayOut(Action.START),))
    return about._replace(parts=about.parts._replace(project_id=project_id))


def named_by_client(view: View, client_session_id: str) -> Session | None:
    """The session that a client's own id names, if there still is one."""
    named = view.get(ClientSession, view.actor.account_id, client_session_id)
    return None if named is None else view.get(Session, named.session_id)


def name_by_client(view: View, client_session_id: str, session_id: SessionId) -> None:
    """Remember which session a client's own id names now; a name that another project uses is left to it."""
    before = named_by_client(view, client_session_id)
    if before is None or is_seen(view, before):
        view.put(ClientSession(view.actor.account_id, client_session_id, session_id))


def check_room(view: View) -> None:
    """Make sure that the account may have the session that was just added. Raises: quota_exceeded.

    The account's row is locked from before the count until the commit, so no two starts count the same room.
    """
    account = require_account(view)
    if account is not None and account.live_sessions_max is not None:
        require_room(account, live_sessions=view.count(Count(LIVE_SESSIONS, (account.id,))))


def rivals(view: View, scope: str, *, is_exclusive: bool, except_ids: tuple[SessionId, ...]) -> list[Session]:
    """Holders of a scope that a newcomer cannot share it with, live ones first.

    Raises: scope_crowded where an exclusive newcomer would have to look through more than the limit.
    """
    spec = ALL_HOLDERS if is_exclusive else NEWEST_HOLDERS
    holders = find_holders(view, spec, view.actor.account_id, scope)
    if is_exclusive and len(holders) > SCOPE_SESSIONS_MAX:
        raise Refusal(Code.SCOPE_CROWDED, scope=scope, limit=SCOPE_SESSIONS_MAX, ways_out=(WayOut(Action.START),))
    phases = {each.id: phase(settle(each, now=view.now).session) for each in holders}
    in_question = [each for each in holders if each.id not in except_ids and (is_exclusive or each.exclusive)]
    found = [each for each in in_question if phases[each.id] in HOLDING]
    if len(seen(view, found)) < len(found):
        # Of a session that there is not for the actor, no more is told than that the scope is not free.
        raise held_elsewhere(scope)
    return sorted(found, key=lambda each: phases[each.id] not in LIVE)


def needs_of_ending(sessions: list[Session]) -> list[Need]:
    """What ending other sessions takes, asked for at once: each asking may cost a round."""
    return [need for each in sessions for need in (profile_key(each.id), *needs_of_draft(each))]


def held_elsewhere(scope: str) -> Refusal:
    """The refusal that a session of another project causes."""
    return Refusal(Code.LEASE_HELD, scope=scope, holder="another project", ways_out=(WayOut(Action.REPEAT_LATER),))


def in_the_way(rival: Session, *, to_start: bool, now: Moment) -> Refusal:
    """The refusal that a rival causes: its lease is running, or it fell silent and was not given up.

    to_start: it is a new session that is refused, by a start that may take the rival over instead.
    """
    settled = settle(rival, now=now).session
    if phase(settled) in LIVE:
        return lifecycle.lease_held(settled, now=now)
    return lifecycle.scope_lapsed(settled, to_start=to_start)


def give_way(view: View, old: Session, *, successor_id: SessionId, is_forced: bool, reason: str | None) -> None:
    """Leave the old session marked as taken over, and the audit told."""
    changed = lifecycle.give_way(old, successor_id=successor_id, is_forced=is_forced, now=view.now)
    if changed.session.status == Status.ENDED:
        # One that failed or was abandoned keeps the reason for that.
        changed = changed._replace(session=changed.session._replace(status_reason=reason))
    record(view, changed)
    before = find_profile(view, old)
    if before.ended_at_ms is None:
        view.put(before._replace(ended_at_ms=view.now.wall_ms))
    audit(view, AuditAction.SESSION_TAKEN_OVER, target=old.id, reason=reason)


def new_profile(view: View, session_id: SessionId, *, preset: str, about: About) -> SessionProfile:
    """The profile of a session that begins now."""
    return SessionProfile(
        id=session_id,
        account_id=view.actor.account_id,
        preset=preset,
        **about.columns,
        client_session_id=None,
        current_task_id=None,
        started_at_ms=view.now.wall_ms,
        ended_at_ms=None,
        wake_at_ms=None,
        error_details_json=None,
        exit_code=None,
        late=False,
        reported_late=False,
        took_over_from=None,
        key_id=view.actor.key_id,
        correlation_id=view.correlation_id,
        handoff_at_ms=None,
        recovered_from=None,
        recovery_attempts=0,
        checkpoint_source_id=None,
        let_go_json=None,
    )


def left_behind(
    view: View, session: Session, *, has_scope: bool, repo: tuple[str, str] | None = None
) -> dict[str, object]:
    """What earlier sessions on the scope left: handoff, checkpoint, and whoever broke off and was not followed.

    repo: the venture and the repository whose last handoff is shown where the scope has none.
    """
    if not has_scope:
        return {"last_handoff": None, "last_checkpoint": None, "recoverable": []}
    held = (session.account_id, session.scope)
    checkpoints = view.members(Members(LAST_CHECKPOINTS, held))
    found = [*find_holders(view, NEWEST_HOLDERS, *held), *view.members(Members(NEWEST_OF_SCOPE, held))]
    newest = sorted({each.id: each for each in found}.values(), key=lambda each: each.id, reverse=True)
    others = [settle(each, now=view.now).session for each in newest if each.id != session.id]
    broken_off = [each for each in others if lifecycle.is_to_be_followed(each)]
    if view.actor.project_id is not None:
        writers = [view.get(Session, each.session_id) for each in checkpoints]
        is_theirs = any(each is not None and not is_seen(view, each) for each in writers)
        checkpoints = [] if is_theirs else checkpoints
        broken_off = seen(view, broken_off)
    return {
        "last_handoff": last_handoff(view, scope=session.scope, repo=repo),
        "last_checkpoint": checkpoint_body(checkpoints[0]) if checkpoints else None,
        "recoverable": [recoverable_body(each) for each in broken_off],
    }


def parts_of(profile: SessionProfile) -> ScopeParts:
    """The parts in which the scope of a session was given."""
    return ScopeParts(profile.project_id, profile.venture, profile.repo, profile.track, profile.workspace)


def policy_of(session: Session, profile: SessionProfile) -> PolicyRequest:
    """The policy of a session, as a request for the same one."""
    return PolicyRequest(
        preset=profile.preset if profile.preset in PRESET_NAMES else None,
        lease_ms=session.lease_ms,
        heartbeat_interval_ms=session.heartbeat_interval_ms,
        heartbeat_jitter_ms=session.heartbeat_jitter_ms,
        grace_ms=session.grace_ms,
        fail_after_ms=session.fail_after_ms,
        on_lapse=session.on_lapse,
    )
