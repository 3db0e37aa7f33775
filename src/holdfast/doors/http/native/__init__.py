"""The native API, `/v1`, and the health checks: every route, its body, and the command or query it means."""

from holdfast.doors.http.native import (
    accounts,
    audit,
    documents,
    events,
    fleet,
    handoffs,
    health,
    history,
    keys,
    lifecycle,
    metrics,
    requests,
    starts,
    upkeep,
)

ROUTES = [
    *health.ROUTES,
    *starts.ROUTES,
    *lifecycle.ROUTES,
    *fleet.ROUTES,
    *history.ROUTES,
    *handoffs.ROUTES,
    *events.ROUTES,
    *keys.ROUTES,
    *accounts.ROUTES,
    *audit.ROUTES,
    *documents.ROUTES,
    *upkeep.ROUTES,
    *requests.ROUTES,
    *metrics.ROUTES,
]
