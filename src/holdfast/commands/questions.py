"""Questions of alert rules to the store: which sessions of an account may be what a rule is about.

Conditions are compared where the rows are: reading a hundred thousand sessions to compare them would keep the
interpreter from serving. What is found is decided anew, by `domain.alerts`, under its lock; a test compares the two.
"""

from enum import StrEnum
from typing import NamedTuple

from holdfast.domain.ids import AccountId, AlertRuleId


class Question(StrEnum):
    """What is asked for.

    LATE: a beat is overdue. PARKED: parked before a time. STILL: no progress since a time. MOVED: progress that is not
    marked yet.
    """

    LATE = "late"
    PARKED = "parked"
    STILL = "still"
    MOVED = "moved"


class Asked(NamedTuple):
    """One question. at_ms: the time to compare with: of the service for LATE and STILL, wall clock for PARKED.

    rule_id: sessions with an open alert by this rule are left out.
    project_id, agent: only sessions of these; None: any.
    """

    question: Question
    account_id: AccountId
    at_ms: int
    rule_id: AlertRuleId
    project_id: str | None
    agent: str | None


class Candidate(NamedTuple):
    """A session that was found, and where its work stands."""

    session_id: str
    progress: int | None
    checkpoint_count: int
