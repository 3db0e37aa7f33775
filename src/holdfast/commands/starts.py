"""Beginning to work: start or resume a session, take one over, or report one that ran while nobody listened."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.accounts import LIVE_SESSIONS, LIVE_STATUSES, account_key, require_account
from holdfast.commands.bodies import checkpoint_body, recoverable_body, session_body
from holdfast.commands.heartbeats import next_beat
from holdfast.commands.holding import (
    ALL_HOLDERS,
    HOLDERS_BY_IDENTITY,
    LAST_CHECKPOINTS,
    NEWEST_HOLDERS,
    audit,
    find_holders,
    find_profile,
    find_scope,
    find_session,
    is_seen,
    record,
    seen,
)
from holdfast.commands.leaving import LAST_HANDOFFS, LAST_OF_REPO, is_end, last_handoff, needs_of_draft
from holdfast.commands.machines import leave_slot, take_slot
from holdfast.commands.projects import ensure_project
from holdfast.commands.releasing import project_key, require_held
from holdfast.commands.rows import Count, Members, Need, both_keys, client_session_key, profile_key, scope_key
from holdfast.commands.slots import machine_key, slots_of
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.account import Account, require_room
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, FieldError, Identity, Refusal, WayOut
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.fencing import check_token, require_token
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.lifecycle import HOLDING, LIVE, phase, settle
from holdfast.domain.limits import SCOPE_SESSIONS_MAX
from holdfast.domain.policy import INTERACTIVE, PRESET_NAMES, Policy, PolicyRequest, resolve
from holdfast.domain.scope import ScopeParts, acquire, own_scope, unused
from holdfast.domain.service_time import Moment
from holdfast.domain.session import (
    ClientSession,
    EndReason,
    Session,
    SessionProfile,
    Status,
    policy_fields,
)

CREATED, RESUMED, TAKEN_OVER = "created", "resumed", "taken_over"


class TakeOver(NamedTuple):
    """A start's wish to take over: the session named, or the newest lapsed one of the scope."""

    reason: str
    session_id: SessionId | None = None


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


class StartSession(NamedTuple):
    """Start a session on a scope, or resume the one that the same identity has there.

    scope: its canonical string; None: the session is its own scope.
    exclusive: None leaves a resumed session as it is, and makes a new one shared.
    supersede: end the identity's own session rather than resume it; with `force` (an operator's) and a reason, end
    whoever is in the way.
    looks_wider: where nobody left a handoff on the scope, the last one of its venture and repository is shown.
    gives_up_lapsed: abandon the identity's own session where it has lapsed, rather than resume it. Only the identity
    is looked at then, and the client's own id is merely noted.
    """

    scope: str | None
    agent: str
    holder_id: str
    policy: PolicyRequest | None = None
    exclusive: bool | None = None
    take_over: TakeOver | None = None
    supersede: bool = False
    force: bool = False
    reason: str | None = None
    client_session_id: str | None = None
    about: About = About()
    looks_wider: bool = False
    gives_up_lapsed: bool = False

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, the scope's guard and its holders, and the session that the client's own id names."""
        needs: list[Need] = [account_key(actor.account_id)]
        project_id = self.about.parts.project_id or actor.project_id
        if project_id is not None:
            needs.append(project_key(actor.account_id, project_id))
        if self.client_session_id is not None:
            needs.append(client_session_key(actor.account_id, self.client_session_id))
        if self.scope is not None:
            needs += self._needs_of_scope(actor.account_id, self.scope)
        return needs + _needs_of_machine(actor, self.about)

    def _needs_of_scope(self, account_id: AccountId, scope: str) -> list[Need]:
        held = (account_id, scope)
        is_thorough = self.exclusive or self.take_over is not None
        specs = (NEWEST_HOLDERS, ALL_HOLDERS) if is_thorough else (NEWEST_HOLDERS,)
        venture, repo = self.about.parts.venture, self.about.parts.repo
        wider = [Members(LAST_OF_REPO, (account_id, venture, repo))] if self.looks_wider and venture and repo else []
        return [
            scope_key(*held),
            *wider,
            Members(LAST_CHECKPOINTS, held),
            Members(LAST_HANDOFFS, held),
            Members(HOLDERS_BY_IDENTITY, (*held, self.agent, self.holder_id)),
            *[Members(spec, (*held, is_exclusive)) for spec in specs for is_exclusive in (True, False)],
        ]

    def decide(self, view: View) -> Reply:
        """The session at top level, its token, when to beat, and what the last one on the scope left.

        Raises: validation_failed, lease_held, scope_lapsed, scope_crowded, client_session_id_reused, forbidden,
        quota_exceeded, what `take_slot` raises, not_found for an account that is gone and for a project that is not
        the actor's.
        """
        require_account(view)
        about = within_project(self.about, view.actor)
        if about is not self.about:
            return self._replace(about=about).decide(view)
        policy = None if self.policy is None else resolve(self.policy)
        if self.force:
            require(view.actor, KeyScope.OPERATOR)
            if self.reason is None:
                raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("reason", "is required with force"),))
        named = self._named_by_client(view)
        scope = self.scope if self.scope is not None or named is None else named.scope
        if scope is None and self.take_over is not None and self.take_over.session_id is not None:
            scope = find_session(view, self.take_over.session_id).scope
        is_exclusive = bool(self.exclusive)
        if scope is None:
            session_id = SessionId(view.mint("sess"))
            return self._new(view, session_id, policy=policy, scope=own_scope(session_id), is_exclusive=is_exclusive)
        view.require(*self._needs_of_scope(view.actor.account_id, scope))
        look_around(view, scope)
        record_broken_off(view, scope)
        target = self._take_over_target(view, scope)
        if target is not None:
            return self._taken_over(view, target, policy=policy, scope=scope)
        own = self._freshest(view, scope) if self.gives_up_lapsed else named or self._own(view, scope)
        while own is not None and self.supersede:
            self._superseded(view, own)
            own = self._own(view, scope)
        self._clear_way(view, scope, own=own)
        if own is not None:
            return self._resumed(view, own, policy=policy)
        session_id = SessionId(view.mint("sess"))
        return self._new(view, session_id, policy=policy, scope=scope, is_exclusive=is_exclusive)

    def _named_by_client(self, view: View) -> Session | None:
        """The session that the client's own id names, if a start may resume it."""
        if self.client_session_id is None or self.gives_up_lapsed:
            return None
        session = named_by_client(view, self.client_session_id)
        if session is None or not is_seen(view, session):
            return None
        if self.scope is not None and session.scope != self.scope:
            raise Refusal(
                Code.CLIENT_SESSION_ID_REUSED,
                session_id=session.id,
                scope=session.scope,
                ways_out=(WayOut(Action.READ, session.id), WayOut(Action.START)),
            )
        return session if lifecycle.can_acquire(settle(session, now=view.now).session) else None

    def _own(self, view: View, scope: str) -> Session | None:
        """The session that this identity has on the scope, if a start may resume it."""
        return next(iter(self._all_own(view, scope)), None)

    def _all_own(self, view: View, scope: str) -> list[Session]:
        """The sessions that this identity has on the scope and that a start may resume, newest first."""
        held = Members(HOLDERS_BY_IDENTITY, (view.actor.account_id, scope, self.agent, self.holder_id))
        return [
            session
            for session in view.members(held)
            if lifecycle.can_acquire(settle(session, now=view.now).session) and is_seen(view, session)
        ]

    def _freshest(self, view: View, scope: str) -> Session | None:
        """The identity's newest live session, its only one from now on: lapsed ones are given up, others superseded."""
        freshest = None
        own = self._all_own(view, scope)
        view.require(*needs_of_ending(own))
        for session in own:
            if phase(settle(session, now=view.now).session) not in LIVE:
                record(view, lifecycle.give_up(session, now=view.now))
                view.put(find_profile(view, session)._replace(ended_at_ms=session.last_heartbeat_at_ms))
            elif freshest is None:
                freshest = session
            else:
                self._superseded(view, session)
        return freshest

    def _take_over_target(self, view: View, scope: str) -> Session | None:
        if self.take_over is None:
            return None
        if self.take_over.session_id is not None:
            session = find_session(view, self.take_over.session_id)
            if session.scope != scope:
                message = f"is on the scope {session.scope}, not on {scope}"
                raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("take_over.session_id", message),))
            return session
        holders = find_holders(view, ALL_HOLDERS, view.actor.account_id, scope)
        lapsed = [session for session in holders if phase(settle(session, now=view.now).session) in HOLDING - LIVE]
        return max(seen(view, lapsed), key=lambda session: session.id, default=None)

    def _clear_way(self, view: View, scope: str, *, own: Session | None) -> None:
        """Make sure that nobody is in the way; supersede them where an operator forces it."""
        is_exclusive = bool(self.exclusive) if own is None or self.exclusive is not None else own.exclusive
        found = rivals(view, scope, is_exclusive=is_exclusive, except_ids=() if own is None else (own.id,))
        if self.supersede and self.force:
            view.require(*needs_of_ending(found))
            require_held(view, found)
        for rival in found:
            if not (self.supersede and self.force):
                raise in_the_way(rival, now=view.now)
            self._superseded(view, rival)

    def _superseded(self, view: View, session: Session) -> None:
        record(view, lifecycle.supersede(session, now=view.now))
        view.put(find_profile(view, session)._replace(ended_at_ms=view.now.wall_ms))
        audit(view, AuditAction.SESSION_SUPERSEDED, target=session.id, reason=self.reason)

    def _taken_over(self, view: View, old: Session, *, policy: Policy | None, scope: str) -> Reply:
        assert self.take_over is not None
        session_id = SessionId(view.mint("sess"))
        reason = self.take_over.reason
        give_way(view, old, successor_id=session_id, is_forced=self.force, reason=reason)
        is_exclusive = old.exclusive if self.exclusive is None else self.exclusive
        found = rivals(view, scope, is_exclusive=is_exclusive, except_ids=())
        view.require(*needs_of_ending(found))
        require_held(view, found)
        for rival in found:
            # Live ones come first, so nobody gives way to a start that is refused.
            give_way(view, rival, successor_id=session_id, is_forced=False, reason=reason)
        return self._new(view, session_id, policy=policy, scope=scope, is_exclusive=is_exclusive, took_over_from=old.id)

    def _resumed(self, view: View, own: Session, *, policy: Policy | None) -> Reply:
        """The identity's own session, under the scope's next token."""
        is_exclusive = own.exclusive if self.exclusive is None else self.exclusive
        scope = acquire(
            find_scope(view, own.account_id, own.scope),
            is_exclusive=is_exclusive,
            token_floor=view.service.token_floor,
        )
        session = own._replace(exclusive=is_exclusive)
        if policy is not None:
            session = session._replace(**policy_fields(policy))
        changed = lifecycle.acquire(session, fencing_token=scope.last_token, now=view.now)
        # Whoever asked the old holder to stop did not ask the one who starts now.
        changed = changed._replace(session=changed.session._replace(stop_reason=None))
        before = find_profile(view, own)
        profile = before._replace(
            preset=before.preset if policy is None else policy.preset,
            ended_at_ms=None,
            wake_at_ms=None,
            late=False,
            client_session_id=self.client_session_id or before.client_session_id,
            **self._said(),
        )
        view.put(scope)
        view.put(self._moved(view, own, before, profile))
        ensure_project(view, profile.project_id)
        record(view, changed)
        if own.status not in LIVE_STATUSES:
            check_room(view)
        self._name(view, own.id)
        return self._reply(view, changed.session, find_profile(view, own), outcome=RESUMED)

    def _moved(self, view: View, own: Session, before: SessionProfile, after: SessionProfile) -> SessionProfile:
        """The profile of a resumed session that may have named another machine or slot: it is in that one now."""
        if self.about.machine_id is None and self.about.slot is None:
            return after
        preferred = before.slot if before.machine_id == after.machine_id else None
        slot = take_slot(view, own.id, machine_id=after.machine_id, slot=self.about.slot, preferred=preferred)
        if slot is not None:
            after = after._replace(slot=slot)
        if (before.machine_id, before.slot) != (after.machine_id, after.slot):
            leave_slot(view, own, machine_id=before.machine_id, slot=before.slot)
        return after

    def _new(
        self,
        view: View,
        session_id: SessionId,
        *,
        policy: Policy | None,
        scope: str,
        is_exclusive: bool,
        took_over_from: SessionId | None = None,
    ) -> Reply:
        """A new session under the scope's next token."""
        policy = policy or resolve(PolicyRequest())
        profile = new_profile(view, session_id, preset=policy.preset, about=self.about)._replace(
            client_session_id=self.client_session_id, took_over_from=took_over_from
        )
        slot = take_slot(
            view,
            session_id,
            machine_id=profile.machine_id,
            slot=profile.slot,
            preferred=self._slot_left(view, took_over_from),
        )
        if slot is not None:
            profile = profile._replace(slot=slot)
        identity = Identity(scope, self.agent, self.holder_id)
        session = begin(view, profile, identity, policy=policy, is_exclusive=is_exclusive)
        self._name(view, session_id)
        return self._reply(view, session, profile, outcome=CREATED if took_over_from is None else TAKEN_OVER)

    def _slot_left(self, view: View, took_over_from: SessionId | None) -> int | None:
        """The slot of the session that was taken over, where the new one is on the same machine."""
        old = None if took_over_from is None else view.get(SessionProfile, took_over_from)
        return old.slot if old is not None and old.machine_id == self.about.machine_id else None

    def _name(self, view: View, session_id: SessionId) -> None:
        """Remember which session the client's own id names now."""
        if self.client_session_id is not None:
            name_by_client(view, self.client_session_id, session_id)

    def _said(self) -> dict[str, Any]:
        """What this start says about the session, by the names of a profile's columns."""
        about = self.about._asdict()
        parts: ScopeParts = about.pop("parts")
        return {name: value for name, value in (about | parts._asdict()).items() if value is not None}

    def _reply(self, view: View, session: Session, profile: SessionProfile, *, outcome: str) -> Reply:
        body = session_body(session, profile, now=view.now)
        body |= {"outcome": outcome, "fencing_token": session.fencing_token, **next_beat(session, view)}
        has_scope = self.scope is not None or outcome != CREATED
        repo = (profile.venture, profile.repo) if profile.venture and profile.repo and self.looks_wider else None
        body |= left_behind(view, session, has_scope=has_scope, repo=repo)
        return Reply(body, created=outcome != RESUMED)


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


class TakeOverSession(NamedTuple):
    """Acquire what a lapsed session held: a new session with the next token, linked both ways.

    force: take it from a live holder; an operator's right.
    """

    session_id: SessionId
    agent: str | None
    holder_id: str
    reason: str
    force: bool = False
    policy: PolicyRequest | None = None
    about: About = About()

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, the old session and the machine; its scope follows from it."""
        return account_key(actor.account_id), *both_keys(self.session_id), *_needs_of_machine(actor, self.about)

    def decide(self, view: View) -> Reply:
        """As a start's reply. Raises: not_found, forbidden, and what `lifecycle.give_way` raises."""
        if self.force:
            require(view.actor, KeyScope.OPERATOR)
        old = find_session(view, self.session_id)
        profile = find_profile(view, old)
        start = StartSession(
            scope=old.scope,
            agent=self.agent or old.agent,
            holder_id=self.holder_id,
            policy=self.policy or policy_of(old, profile),
            take_over=TakeOver(self.reason, old.id),
            force=self.force,
            reason=self.reason,
            about=self.about._replace(parts=parts_of(profile), mode=self.about.mode or profile.mode),
        )
        return start.decide(view)


class ReportSession(NamedTuple):
    """Record a session that ran while the server was away; its times are the client's claims.

    Reported again, or already known, it is answered as it stands; one that still holds its scope is ended.
    """

    client_session_id: str
    scope: str | None
    agent: str
    holder_id: str
    started_at_ms: int
    ended_at_ms: int
    end_reason: EndReason
    exit_code: int | None = None
    fencing_token: int | None = None
    about: About = About()

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, and the session that the client's own id names."""
        return account_key(actor.account_id), client_session_key(actor.account_id, self.client_session_id)

    def decide(self, view: View) -> Reply:
        """The session, ended. Raises: validation_failed, fencing_token_stale, not_found as a start."""
        require_account(view)
        about = within_project(self.about, view.actor)
        if self.ended_at_ms < self.started_at_ms:
            raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("ended_at", "must not be before started_at"),))
        known = named_by_client(view, self.client_session_id)
        if known is not None and is_seen(view, known):
            return self._known(view, known)
        session_id = SessionId(view.mint("sess"))
        session = lifecycle.report(
            Identity(self.scope or own_scope(session_id), self.agent, self.holder_id),
            session_id=session_id,
            account_id=view.actor.account_id,
            end_reason=self.end_reason,
            ended_at_ms=self.ended_at_ms,
        )
        profile = new_profile(view, session_id, preset=INTERACTIVE.preset, about=about)._replace(
            client_session_id=self.client_session_id,
            started_at_ms=self.started_at_ms,
            ended_at_ms=self.ended_at_ms,
            exit_code=self.exit_code,
            reported_late=True,
        )
        view.put(session)
        view.put(profile)
        name_by_client(view, self.client_session_id, session_id)
        data: Data = {"end_reason": self.end_reason.value, "reported_late": True}
        ended = Happening(EventType.ENDED, Rule.REQUESTED, self.ended_at_ms, data)
        ensure_project(view, profile.project_id)
        view.emit((ended,), session_id=session_id, account_id=session.account_id, project_id=profile.project_id)
        return Reply(session_body(session, profile, now=view.now), created=True)

    def _known(self, view: View, known: Session) -> Reply:
        """A session that was started after all: ended if it still holds its scope, else left as it is."""
        check_token(known, given=self.fencing_token, now=view.now)
        profile = find_profile(view, known)
        settled = settle(known, now=view.now).session
        answered = settled
        if lifecycle.can_acquire(settled):
            scope = find_scope(view, known.account_id, known.scope)
            changed = lifecycle.end(known, end_reason=self.end_reason, scope=scope, now=view.now)
            require_token(settled, given=self.fencing_token, now=view.now)
            record(view, changed)
            profile = find_profile(view, known)._replace(
                ended_at_ms=view.now.wall_ms, exit_code=self.exit_code, late=changed.is_late, reported_late=True
            )
            view.put(profile)
            answered = changed.session
        return Reply(session_body(answered, profile, now=view.now))


def _needs_of_machine(actor: Actor, about: About) -> list[Need]:
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
        needs += [key for each in (*[holder.id for holder in holders], *writers) for key in both_keys(each)]
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
    view.require(*needs_of_ending([each.session for each in broken_off]))
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


def in_the_way(rival: Session, *, now: Moment) -> Refusal:
    """The refusal that a rival causes: its lease is running, or it fell silent and was not given up."""
    settled = settle(rival, now=now).session
    if phase(settled) in LIVE:
        return lifecycle.lease_held(settled, now=now)
    return lifecycle.scope_lapsed(settled)


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
        mode=about.mode,
        project_id=about.parts.project_id,
        venture=about.parts.venture,
        repo=about.parts.repo,
        track=about.parts.track,
        workspace=about.parts.workspace,
        machine_id=about.machine_id,
        slot=about.slot,
        parent_id=about.parent_id,
        group_id=about.group_id,
        client_session_id=None,
        branch=about.branch,
        commit_sha=about.commit_sha,
        issue_number=about.issue_number,
        current_task_id=None,
        meta_json=about.meta_json,
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
        client=about.client,
        client_version=about.client_version,
        host=about.host,
        recovered_from=None,
        recovery_attempts=0,
        checkpoint_source_id=None,
    )


def left_behind(
    view: View, session: Session, *, has_scope: bool, repo: tuple[str, str] | None = None
) -> dict[str, object]:
    """What earlier sessions on the scope left: handoff, checkpoint, and whoever fell silent and was not taken over.

    repo: the venture and the repository whose last handoff is shown where the scope has none.
    """
    if not has_scope:
        return {"last_handoff": None, "last_checkpoint": None, "recoverable": []}
    held = (session.account_id, session.scope)
    checkpoints = view.members(Members(LAST_CHECKPOINTS, held))
    holders = [
        settle(each, now=view.now).session
        for each in find_holders(view, NEWEST_HOLDERS, *held)
        if each.id != session.id
    ]
    if view.actor.project_id is not None:
        writers = [view.get(Session, each.session_id) for each in checkpoints]
        is_theirs = any(each is not None and not is_seen(view, each) for each in writers)
        checkpoints = [] if is_theirs else checkpoints
        holders = seen(view, holders)
    return {
        "last_handoff": last_handoff(view, scope=session.scope, repo=repo),
        "last_checkpoint": checkpoint_body(checkpoints[0]) if checkpoints else None,
        "recoverable": [recoverable_body(each) for each in holders if phase(each) in HOLDING - LIVE],
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
