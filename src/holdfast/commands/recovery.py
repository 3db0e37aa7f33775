"""Recovery: a new session goes on with the work of one that broke off, and the two are linked."""

from collections.abc import Iterable
from typing import Any, NamedTuple

from holdfast.commands.accounts import account_key, require_account
from holdfast.commands.beginning import About, begin, in_the_way, new_profile, parts_of, policy_of, rivals
from holdfast.commands.bodies import Body, checkpoint_body, session_body
from holdfast.commands.heartbeats import next_beat
from holdfast.commands.holding import (
    ALL_HOLDERS,
    NEWEST_HOLDERS,
    audit,
    find_profile,
    find_scope,
    find_session,
    is_seen,
    record,
)
from holdfast.commands.leaving import LAST_OF_SESSION, last_handoff_of
from holdfast.commands.machines import take_slot
from holdfast.commands.releasing import project_key
from holdfast.commands.rows import Key, Members, Need, both_keys, scope_key
from holdfast.commands.slots import machine_key, slots_of
from holdfast.commands.tasks import TASKS_GIVEN, given_tasks, reserve, retry_failed, task_key
from holdfast.commands.view import Reply, View
from holdfast.domain import lifecycle, machine
from holdfast.domain.actor import Actor, KeyScope, require
from holdfast.domain.audit import AuditAction
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Code, FieldError, Identity, Refusal
from holdfast.domain.ids import SessionId, TaskId
from holdfast.domain.lifecycle import HOLDING, phase
from holdfast.domain.machine import Machine, MachineStatus
from holdfast.domain.policy import PolicyRequest, resolve
from holdfast.domain.session import Session, SessionProfile
from holdfast.domain.task import TaskStatus

RECOVERED = "recovered"

TASK_PREFIX = "task_"
"""How ids of tasks that are kept here begin; a session may also name a task that is kept elsewhere."""


class RecoverSession(NamedTuple):
    """Go on with the work of a session that broke off: a new session on its scope, with the next token.

    The same holder asking again gets the same new session.
    attempts_max: how often a chain of sessions is recovered before a person has to look.
    force: recover one that is live, quarantined or asked to stop; an operator's right, with a reason.
    about: what differs from the old session; the parts of the scope are its own.
    resume_from_task_id: the task with which the new session begins, kept for it if it is one of ours.
    retry_failed_tasks: let tasks that failed under the old session wait again too.
    """

    session_id: SessionId
    holder_id: str
    attempts_max: int
    agent: str | None = None
    force: bool = False
    reason: str | None = None
    policy: PolicyRequest | None = None
    about: About = About()
    resume_from_task_id: str | None = None
    retry_failed_tasks: bool = True

    def needs(self, actor: Actor) -> Iterable[Need]:
        """The account, the old session with its tasks and its handoffs, and the task to begin with."""
        task_id = self.resume_from_task_id
        own_task = [task_key(TaskId(task_id))] if task_id is not None and task_id.startswith(TASK_PREFIX) else []
        return (
            account_key(actor.account_id),
            *both_keys(self.session_id),
            Members(TASKS_GIVEN, (self.session_id,)),
            Members(LAST_OF_SESSION, (self.session_id,)),
            *own_task,
        )

    def decide(self, view: View) -> Reply:
        """As a start's reply, with the last checkpoint along the chain.

        Raises: not_found, forbidden, validation_failed, lease_held, scope_lapsed, quota_exceeded, what
        `lifecycle.recover`, `take_slot` and `reserve` raise.
        """
        require_account(view)
        if self.force:
            require(view.actor, KeyScope.OPERATOR)
            if self.reason is None:
                raise Refusal(Code.VALIDATION_FAILED, errors=(FieldError("reason", "is required with force"),))
        old = find_session(view, self.session_id)
        mine = self._recovered_before(view, old)
        if mine is not None:
            return self._reply(view, mine, find_profile(view, mine), created=False)
        view.require(*self._needs_of(view, old))
        successor_id = SessionId(view.mint("sess"))
        profile = self._end(view, old, successor_id=successor_id)
        session, successor = self._begin(view, old, profile, successor_id=successor_id)
        return self._reply(view, session, successor, created=True)

    def _needs_of(self, view: View, old: Session) -> list[Need]:
        """What follows from the old session, at once: every round in which more is found is a try of its own."""
        account_id, profile = old.account_id, find_profile(view, old)
        spec = ALL_HOLDERS if old.exclusive else NEWEST_HOLDERS
        machine_id = self.about.machine_id or profile.machine_id
        projects = {project_key(account_id, row.project_id): None for row in given_tasks(view, old.id)}
        needs: list[Need] = [scope_key(account_id, old.scope), *projects]
        needs += [Members(spec, (account_id, old.scope, is_exclusive)) for is_exclusive in (True, False)]
        if machine_id is not None:
            needs += [machine_key(account_id, machine_id), slots_of(account_id, machine_id)]
        return needs

    def _recovered_before(self, view: View, old: Session) -> Session | None:
        """The session that this holder has recovered the old one with, as it is now."""
        if not lifecycle.was_recovered(old) or old.taken_over_by is None:
            return None
        successor = view.get(Session, old.taken_over_by)
        is_mine = successor is not None and successor.holder_id == self.holder_id and is_seen(view, successor)
        return lifecycle.settle(successor, now=view.now).session if successor is not None and is_mine else None

    def _end(self, view: View, old: Session, *, successor_id: SessionId) -> SessionProfile:
        """Leave the old session ended, if nobody is in the way of its successor; what is known of it then."""
        scope = find_scope(view, old.account_id, old.scope)
        recovered = lifecycle.recover(
            old, successor_id=successor_id, is_forced=self.force, reason=self.reason, scope=scope, now=view.now
        )
        for rival in rivals(view, old.scope, is_exclusive=old.exclusive, except_ids=(old.id,)):
            raise in_the_way(rival, to_start=False, now=view.now)
        record(view, recovered)
        if self.retry_failed_tasks:
            retry_failed(view, old)
        profile = find_profile(view, old)
        if profile.ended_at_ms is None:
            view.put(profile._replace(ended_at_ms=view.now.wall_ms))
        audit(view, AuditAction.SESSION_RECOVERED, target=old.id, reason=self.reason)
        return profile

    def _begin(
        self, view: View, old: Session, profile: SessionProfile, *, successor_id: SessionId
    ) -> tuple[Session, SessionProfile]:
        """The new session, which has of the old one whatever was not said otherwise."""
        policy = resolve(self.policy or policy_of(old, profile))
        machine_id, slot = self._place(view, profile, successor_id)
        about = self._about(profile)._replace(machine_id=machine_id, slot=slot)
        successor = new_profile(view, successor_id, preset=policy.preset, about=about)._replace(
            current_task_id=self.resume_from_task_id or profile.current_task_id,
            recovered_from=old.id,
            recovery_attempts=profile.recovery_attempts + 1,
            checkpoint_source_id=old.id if old.checkpoint_count else profile.checkpoint_source_id,
        )
        session = begin(
            view,
            successor,
            Identity(old.scope, self.agent or old.agent, self.holder_id),
            policy=policy,
            is_exclusive=old.exclusive,
            recoveries_left=lifecycle.recoveries_left_after(old, attempts_max=self.attempts_max),
        )
        if self.resume_from_task_id is not None and self.resume_from_task_id.startswith(TASK_PREFIX):
            reserve(view, TaskId(self.resume_from_task_id), session, recovered_id=old.id)
        return find_session(view, session.id), successor

    def _place(self, view: View, old: SessionProfile, successor_id: SessionId) -> tuple[str | None, int | None]:
        """The machine and slot of the new session: those asked for, else the old ones as long as there is room.

        Raises: what `take_slot` raises for a machine that was asked for.
        """
        machine_id = self.about.machine_id or old.machine_id
        if machine_id is None:
            return None, self.about.slot
        preferred = old.slot if machine_id == old.machine_id else None
        row = view.get(Machine, old.account_id, machine_id)
        if row is None:
            return machine_id, preferred if self.about.slot is None else self.about.slot
        is_asked_for = self.about.machine_id is not None or self.about.slot is not None
        if not is_asked_for and machine.settle(row, now=view.now).machine.status != MachineStatus.ONLINE:
            return None, None
        try:
            taken = take_slot(view, successor_id, machine_id=machine_id, slot=self.about.slot, preferred=preferred)
        except Refusal:
            if is_asked_for:
                raise
            # The work is worth more than its place: it goes on wherever its new holder is.
            return None, None
        return machine_id, self.about.slot if taken is None else taken

    def _about(self, profile: SessionProfile) -> About:
        said = self.about._asdict()
        kept = {name: getattr(profile, name) for name in said if name != "parts" and said[name] is None}
        return self.about._replace(parts=parts_of(profile), **kept)

    def _reply(self, view: View, session: Session, profile: SessionProfile, *, created: bool) -> Reply:
        body: dict[str, Any] = session_body(session, profile, now=view.now)
        is_held = phase(session) in HOLDING and session.taken_over_by is None
        body |= {"outcome": RECOVERED, "fencing_token": session.fencing_token if is_held else None}
        body |= next_beat(session, view)
        pending = [row.id for row in given_tasks(view, self.session_id) if row.status == TaskStatus.PENDING]
        body |= {"last_handoff": last_handoff_of(view, self.session_id)}
        body |= {"last_checkpoint": _last_checkpoint(view, profile), "requeued_task_ids": pending}
        return Reply(body, created=created)


def _last_checkpoint(view: View, profile: SessionProfile) -> Body | None:
    """The last checkpoint of the sessions that were recovered before this one."""
    source = None if profile.checkpoint_source_id is None else view.get(Session, profile.checkpoint_source_id)
    if source is None:
        return None
    view.require(Key(Checkpoint, (source.id, source.checkpoint_count)))
    checkpoint = view.get(Checkpoint, source.id, source.checkpoint_count)
    return None if checkpoint is None else checkpoint_body(checkpoint)
