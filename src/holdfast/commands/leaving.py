"""What a session leaves for whoever comes next: handoffs, its own words or, where it broke off, the core's draft."""

from collections.abc import Sequence
from typing import Final

from holdfast.commands.bodies import Body, handoff_body, refusal_body
from holdfast.commands.releasing import tasks_let_go
from holdfast.commands.rows import CountSpec, Key, Members, Need, SetSpec, handoff_body_key, handoff_key
from holdfast.commands.view import Reply, View
from holdfast.domain import handoff as rules
from holdfast.domain.actor import SWEEPER_KEY
from holdfast.domain.checkpoint import Checkpoint
from holdfast.domain.errors import Code, Refusal
from holdfast.domain.events import Data, EventType, Happening, Rule
from holdfast.domain.handoff import Draft, Handoff, HandoffBody, HandoffStatus
from holdfast.domain.ids import HandoffId, SessionId
from holdfast.domain.scope import ScopeParts, canonical
from holdfast.domain.session import Session, SessionProfile

LAST_HANDOFFS = SetSpec("last_handoffs", Handoff, ("account_id", "scope"), order="id", limit=4)
"""The newest handoffs of a scope, several since one may be withdrawn. Guarded as the last checkpoint is: a start may
miss one that a session which goes on is writing this instant, but none of a session that it takes over."""

LAST_OF_REPO = SetSpec("last_of_repo", Handoff, ("account_id", "venture", "repo"), order="id", limit=4)
"""The newest handoffs about a repository, whatever their track."""

LAST_OF_SESSION = SetSpec("last_of_session", Handoff, ("session_id",), order="id", limit=4)
"""The newest handoffs of a session, whose row guards them."""

SAID_BEFORE = SetSpec("handoff_said_before", Handoff, ("session_id", "digest"), order="id", limit=1)
"""The handoff of a session in which just this was said; its session's row guards it."""

OPEN_ON_TOPIC = SetSpec("open_on_topic", Handoff, ("account_id", "open_topic"), order="id", limit=8)
"""Open handoffs about one issue: one, or as many as were written in the same instant on several nodes; the next one
supersedes them all."""

HANDOFFS_OF_SESSION = CountSpec(
    "handoffs_of_session", Handoff, ("session_id",), among=("status", tuple(each.value for each in HandoffStatus))
)
"""All handoffs of a session, whatever became of them."""

PAYLOAD_SHOWN_BYTES_MAX: Final = 64 * 1024
"""A start repeats the payload of the last handoff up to here: its answer is kept for as long as it may be replayed."""


def said_before(view: View, session: Session, draft: Draft) -> Handoff | None:
    """The handoff of this session that says the same."""
    found: list[Handoff] = view.members(Members(SAID_BEFORE, (session.id, draft.digest)))
    return found[0] if found else None


def leave(
    view: View,
    session: Session,
    profile: SessionProfile,
    draft: Draft,
    *,
    is_auto: bool = False,
    orphan_reason: str | None = None,
    branch: str | None = None,
    commit_sha: str | None = None,
) -> Handoff:
    """Leave a handoff in the view, and note in the session's profile that it did.

    One about an issue supersedes the older open ones about it; but the core's draft no words of anybody else.
    """
    parts = ScopeParts(profile.project_id, profile.venture, profile.repo, profile.track, profile.workspace)
    topic = draft.topic
    said = {name: value for name, value in topic._asdict().items() if name != "issue_number" and value is not None}
    about = parts._replace(**said)
    scope = session.scope if about == parts else canonical(about)
    issue_number = profile.issue_number if topic.issue_number is None else topic.issue_number
    now_ms = view.now.wall_ms
    handoff = Handoff(
        id=HandoffId(view.mint("ho")),
        account_id=session.account_id,
        session_id=session.id,
        project_id=profile.project_id,
        scope=scope,
        venture=about.venture,
        repo=about.repo,
        track=about.track,
        issue_number=issue_number,
        from_agent=session.agent,
        to_agent=draft.to_agent,
        status=HandoffStatus.OPEN,
        status_label=draft.status_label,
        auto=is_auto,
        orphan_reason=orphan_reason,
        summary=draft.summary,
        branch=branch or profile.branch,
        commit_sha=commit_sha or profile.commit_sha,
        payload_sha256=draft.payload_sha256,
        payload_size_bytes=draft.payload_size_bytes,
        payload_schema=draft.payload_schema,
        schema_version=draft.schema_version,
        digest=draft.digest,
        redactions=draft.redactions,
        open_topic=rules.topic_of(scope, venture=about.venture, repo=about.repo, issue_number=issue_number),
        open_at_ms=now_ms,
        closed_at_ms=None,
        created_at_ms=now_ms,
        key_id=SWEEPER_KEY if is_auto else view.actor.key_id,
        correlation_id=profile.correlation_id if is_auto else view.correlation_id,
        acknowledged_at_ms=None,
        acknowledged_by=None,
        status_at_ms=now_ms,
        status_by=None,
        status_note=None,
        superseded_by=None,
    )
    if orphan_reason is None:
        supersede_older(view, handoff)
    view.put(handoff)
    view.put(
        HandoffBody(
            id=handoff.id,
            account_id=handoff.account_id,
            session_id=handoff.session_id,
            work_completed_json=draft.work_completed_json,
            blockers_json=draft.blockers_json,
            next_actions_json=draft.next_actions_json,
            payload_json=draft.payload_json,
        )
    )
    view.put(profile._replace(handoff_at_ms=now_ms))
    if not is_auto:
        # A draft is told of by what made it necessary: the event of its session's end.
        tell(view, handoff, EventType.HANDOFF_CREATED, Rule.REQUESTED)
    return handoff


OVER: Final = frozenset(
    {
        Code.SESSION_ENDED,
        Code.SESSION_TAKEN_OVER,
        Code.SESSION_RECOVERED,
        Code.SESSION_ABANDONED,
        Code.SESSION_FAILED,
    }
)
"""Refusals that a session gets because somebody else decided that it was over, or it was over before."""


def keep_orphan(view: View, session: Session, profile: SessionProfile, draft: Draft, *, refusal: Refusal) -> Reply:
    """Keep the last words of a session that is over, and refuse them all the same.

    The reply holds the refusal, so that it is written and still told as one. Said again, they are kept once.
    Raises: the refusal itself, where nothing is to be kept.
    """
    if refusal.code not in OVER:
        raise refusal
    kept = said_before(view, session, draft) or leave(view, session, profile, draft, orphan_reason=refusal.code.value)
    told = Refusal(refusal.code, ways_out=refusal.ways_out)
    told.data = {**refusal.data, "handoff_id": kept.id}
    return Reply({"refusal": refusal_body(told)})


def supersede_older(view: View, handoff: Handoff) -> None:
    """Close the older open handoffs about the issue of a new one."""
    if handoff.open_topic is None:
        return
    older: list[Handoff] = view.members(Members(OPEN_ON_TOPIC, (handoff.account_id, handoff.open_topic)))
    for each in older:
        if each.project_id != handoff.project_id or (handoff.auto and not each.auto):
            continue
        changed = rules.superseded(each, by=handoff.id, now_ms=view.now.wall_ms)
        view.put(changed)
        tell(view, changed, EventType.HANDOFF_SUPERSEDED, Rule.SUPERSEDED)


def tell(view: View, handoff: Handoff, event_type: EventType, rule: Rule) -> None:
    """Leave what happened to a handoff to be told."""
    data: Data = {"handoff_id": handoff.id, "from_agent": handoff.from_agent, "to_agent": handoff.to_agent}
    if event_type == EventType.HANDOFF_CREATED:
        data |= {"status_label": handoff.status_label, "orphan": handoff.orphan_reason is not None}
    if handoff.superseded_by is not None:
        data["superseded_by"] = handoff.superseded_by
    view.emit(
        (Happening(event_type, rule, view.now.wall_ms, data),),
        session_id=handoff.session_id,
        account_id=handoff.account_id,
        project_id=handoff.project_id,
    )


CAUSES: Final = {
    EventType.FAILED: "failed",
    EventType.ABANDONED: "was abandoned",
    EventType.TAKEN_OVER: "was taken over",
    EventType.RECOVERED: "broke off",
    EventType.ENDED: "ended",
}
"""Happenings after which a session may have broken off, and how that is said."""


def is_end(happenings: Sequence[Happening]) -> bool:
    """Whether a session may have broken off by what happened."""
    return any(each.type in CAUSES for each in happenings)


BY_TIME: Final = (Rule.FAIL_AFTER_PASSED, Rule.GIVEN_UP)


def draft_where_broken_off(
    view: View, before: Session, after: Session, happenings: Sequence[Happening], *, is_spoken_for: bool
) -> None:
    """Write a handoff for a session that has just broken off without one, of what is known of where it stood.

    What time does has one whoever notices it and whatever is said then, so that it does not matter who came first.
    is_spoken_for: its own words come with what is said now.
    """
    ends = [each for each in happenings if each.type in CAUSES]
    if not ends:
        return
    profile = view.get(SessionProfile, before.id)
    assert profile is not None, "a session and its profile are written together"
    if ends[0].rule in BY_TIME:
        is_needed = rules.is_silent_since(profile.handoff_at_ms, before)
        session, cause = before, _cause(before, ends[0])
    else:
        is_needed = (
            not is_spoken_for and rules.has_broken_off(after) and rules.is_silent_since(profile.handoff_at_ms, after)
        )
        session, cause = after, _cause(after, ends[-1])
    if not is_needed:
        return
    # Where nothing breaks off, as at a beat of a workspace, what drafts takes is not even imported.
    from holdfast.domain.drafting import draft_for

    checkpoint = view.get(Checkpoint, session.id, session.checkpoint_count) if session.checkpoint_count else None
    held, tasks = tasks_let_go(view, profile)
    leave(
        view,
        session,
        profile,
        draft_for(session, profile, checkpoint, held=held, tasks=tasks, cause=cause),
        is_auto=True,
        branch=None if checkpoint is None else checkpoint.branch,
        commit_sha=None if checkpoint is None else checkpoint.commit_sha,
    )


def _cause(session: Session, end: Happening) -> str:
    if end.rule == Rule.FAIL_AFTER_PASSED:
        return "fell silent and failed"
    if end.type == EventType.ENDED:
        return f"ended ({session.end_reason})"
    if end.type == EventType.FAILED:
        return f"failed ({session.status_reason})"
    return CAUSES[end.type]


def needs_of_draft(session: Session) -> list[Need]:
    """What a draft for a session takes, besides its profile: to be asked for together with that of others."""
    return [Key(Checkpoint, (session.id, session.checkpoint_count))] if session.checkpoint_count else []


def last_handoff(view: View, *, scope: str, repo: tuple[str, str] | None) -> Body | None:
    """What was left last on a scope, else about a repository of a venture; None: nothing.

    The payload is left out where it is long; `GET /v1/handoffs/{id}` has it.
    """
    account_id = view.actor.account_id
    sets = [Members(LAST_HANDOFFS, (account_id, scope))]
    if repo is not None:
        sets.append(Members(LAST_OF_REPO, (account_id, *repo)))
    view.require(*sets)
    for each in sets:
        for handoff in view.members(each):
            is_foreign = view.actor.project_id not in (None, handoff.project_id)
            if handoff.status != HandoffStatus.WITHDRAWN and not is_foreign:
                return _shown(view, handoff)
    return None


def last_handoff_of(view: View, session_id: SessionId) -> Body | None:
    """What a session left last, as `last_handoff` shows it; None: nothing."""
    left: list[Handoff] = view.members(Members(LAST_OF_SESSION, (session_id,)))
    newest = next((each for each in left if each.status != HandoffStatus.WITHDRAWN), None)
    return None if newest is None else _shown(view, newest)


def _shown(view: View, handoff: Handoff) -> Body:
    body = view.get(HandoffBody, handoff.id)
    assert body is not None, "a handoff and its body are written together"
    shown = handoff_body(handoff, body)
    is_long = handoff.payload_size_bytes > PAYLOAD_SHOWN_BYTES_MAX
    return {**shown, "payload_json": None if is_long else shown["payload_json"], "payload_omitted": is_long}


def handoff_needs(handoff_id: HandoffId) -> tuple[Key, Key]:
    """Both rows of a handoff."""
    return handoff_key(handoff_id), handoff_body_key(handoff_id)
