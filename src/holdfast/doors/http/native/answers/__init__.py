"""What every route answers: the shapes of its bodies, the codes of its refusals, and an example of a request.

Each module has the name of the one whose routes it describes. The bodies themselves are made by the core
(`commands.bodies`, `engine.queries`) and rendered by `rendering`. The API tests compare every response that they see
with what is described here.
"""

from collections.abc import Mapping

from holdfast.doors.http.described import Described
from holdfast.doors.http.native.answers import (
    accounts,
    alerts,
    audit,
    description,
    documents,
    events,
    fleet,
    handoffs,
    health,
    history,
    keys,
    lifecycle,
    machines,
    metrics,
    projects,
    requests,
    starts,
    stats,
    tasks,
    upkeep,
    webhooks,
    workspaces,
)

DESCRIBED: Mapping[str, Described] = {
    **starts.DESCRIBED,
    **lifecycle.DESCRIBED,
    **fleet.DESCRIBED,
    **machines.DESCRIBED,
    **history.DESCRIBED,
    **handoffs.DESCRIBED,
    **projects.DESCRIBED,
    **tasks.DESCRIBED,
    **events.DESCRIBED,
    **keys.DESCRIBED,
    **accounts.DESCRIBED,
    **audit.DESCRIBED,
    **documents.DESCRIBED,
    **upkeep.DESCRIBED,
    **webhooks.DESCRIBED,
    **alerts.DESCRIBED,
    **stats.DESCRIBED,
    **requests.DESCRIBED,
    **health.DESCRIBED,
    **metrics.DESCRIBED,
    **description.DESCRIBED,
    **workspaces.DESCRIBED,
}
"""By method and path. A route that is not here keeps the server from starting."""
