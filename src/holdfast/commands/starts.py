"""Beginning to work: start or resume a session, or take one over."""

from collections.abc import Iterable
from typing import NamedTuple

from holdfast.commands.accounts import LIVE_STATUSES, account_key, require_account
from holdfast.commands.beginning import (
    About,
    begin,
    check_room,
    give_way,
    in_the_way,
    left_behind,
    look_around,
    name_by_client,
    named_by_client,
    needs_of_ending,
    needs_of_machine,
    new_profile,
    parts_of,
    policy_of,
    record_broken_off,
    rivals,
    within_project,
)
from holdfast.commands.bodies import session_body
from holdfast.commands.heartbeats import next_beat
from holdfast.commands.holding import (
    ALL_HOLDERS,
    HOLDERS_BY_IDENTITY,
    LAST_CHECKPOINTS,
    NEWEST_HOLDERS,
    NEWEST_OF_SCOPE,
    audit,
    find_holders,
    find_profile,
    find_scope,
    find_session,
    is_seen,
    record,
    seen,
)
from holdfast.commands.leaving import LAST_HANDOFFS, LAST_OF_REPO
from holdfast.commands.machines import leave_slot, take_slot
from holdfast.commands.projects import ensure_project
from holdfast.commands.releasing import project_key, require_held
from holdfast.commands.rows import Members, Need, both_keys, client_session_key, scope_key
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.errors import Action, Code, FieldError, Identity, Refusal, WayOut
from holdfast.domain.ids import AccountId, SessionId
from holdfast.domain.lifecycle import HOLDING, LIVE, phase, settle
from holdfast.domain.policy import Policy, PolicyRequest, resolve
from holdfast.domain.scope import acquire, own_scope
from holdfast.domain.session import (
    Session,
    SessionProfile,
    policy_fields,
)

CREATED, RESUMED, TAKEN_OVER = "created", "resumed", "taken_over"


class TakeOver(NamedTuple):
    """A start's wish to take over: the session named, or the newest lapsed one of the scope."""

    reason: str
    session_id: SessionId | None = None


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
        return needs + needs_of_machine(actor, self.about)

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
            Members(NEWEST_OF_SCOPE, held),
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
            view.require(*needs_of_ending([own]))
            require_held(view, [own])
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
                # One that takes over begins a session of its own, to which a live one of this identity is a rival.
                raise in_the_way(rival, to_start=own is None, now=view.now)
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
            **{name: value for name, value in self.about.columns.items() if value is not None},
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

    def _reply(self, view: View, session: Session, profile: SessionProfile, *, outcome: str) -> Reply:
        body = session_body(session, profile, now=view.now)
        body |= {"outcome": outcome, "fencing_token": session.fencing_token, **next_beat(session, view)}
        has_scope = self.scope is not None or outcome != CREATED
        repo = (profile.venture, profile.repo) if profile.venture and profile.repo and self.looks_wider else None
        body |= left_behind(view, session, has_scope=has_scope, repo=repo)
        return Reply(body, created=outcome != RESUMED)


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
        return account_key(actor.account_id), *both_keys(self.session_id), *needs_of_machine(actor, self.about)

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
