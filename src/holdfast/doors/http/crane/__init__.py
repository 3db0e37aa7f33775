"""The Crane door: a day's work from its start to its handoff, on paths at the root. Source: seed 000."""

from holdfast.doors.http.crane import handoffs, sessions

ROUTES = [*sessions.ROUTES, *handoffs.ROUTES]
