"""The native API, `/v1`, and the health checks: every route, its body, and the command or query it means."""

from holdfast.doors.http.native import (
    accounts,
    audit,
    events,
    fleet,
    health,
    history,
    keys,
    lifecycle,
    metrics,
    requests,
    starts,
    upkeep,
    workspaces,
)

ROUTES = [
    *health.ROUTES,
    *starts.ROUTES,
    *lifecycle.ROUTES,
    *fleet.ROUTES,
    *history.ROUTES,
    *events.ROUTES,
    *keys.ROUTES,
    *accounts.ROUTES,
    *audit.ROUTES,
    *upkeep.ROUTES,
    *requests.ROUTES,
    *metrics.ROUTES,
    *workspaces.ROUTES,
]
