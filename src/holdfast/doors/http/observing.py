"""What is noted of each request once it was answered: its line in the request log, or a count, and its meters.

It is on the way of every heartbeat, so an accepted one is only put aside, and counted later with many others. Never
here: a body, a value of a query string, a key.
"""

import time
from collections import Counter
from collections.abc import Mapping
from itertools import compress
from typing import Any, NamedTuple

from holdfast.commands.bodies import Body
from holdfast.domain.actor import Actor
from holdfast.domain.ids import DEFAULT_ACCOUNT
from holdfast.domain.requests import RequestRecord
from holdfast.doors.http.call import Answer
from holdfast.doors.http.routing import Route, Routine
from holdfast.engine.core import Core
from holdfast.engine.meters import RouteMeter
from holdfast.engine.request_log import Tally
from holdfast.logs import redacted

DETAIL_CHARS_MAX = 500
"""Of why a request was refused: the sentence, and a few of the fields that were wrong."""

FIELDS_TOLD_MAX = 5

HEARTBEAT = Routine.HEARTBEAT

PUT_ASIDE_MAX = 512
"""Heartbeats counted at a time: enough to do it in bulk, and few enough to lie in the processor's cache meanwhile."""

now = time.perf_counter
"""The clock that requests are timed with, in seconds."""

ROUTE, ACTOR, BODY_BYTES = "holdfast.route", "holdfast.actor", "holdfast.body_bytes"
"""Under which names the application leaves in a request's scope what it found out; absent while it did not."""


Ids = tuple[tuple[bytes, bytes], ...]
"""Headers of the answer that begin with the request's id and its correlation id."""


class _Watched(NamedTuple):
    meter: RouteMeter
    tally: Tally


class Observer:
    """Notes what became of requests. began: when the request came, by `now`."""

    def __init__(self, core: Core) -> None:
        self._log = core.request_log
        self._meters = core.meters
        # By identity: a route's own hash would go through all that it holds. Routes live as long as the application.
        self._routes: dict[int, _Watched] = {}
        self._beats: list[tuple[Route, Actor, float, int]] = []
        core.request_log.settle = core.meters.settle = self.settle

    def answered(self, scope: Mapping[str, Any], answer: Answer, began: float, response_bytes: int, ids: Ids) -> None:
        """Note a request that was carried out."""
        seconds = now() - began
        route: Route = scope[ROUTE]
        routine = route.routine
        if routine is HEARTBEAT:
            self._beats.append((route, scope[ACTOR], seconds, answer.accepted))
            if len(self._beats) >= PUT_ASIDE_MAX:
                self.settle()
            if answer.note is None and not answer.is_replay:
                return
        else:
            meter = self._watched(route).meter
            meter.seconds.add(seconds)
            if answer.status >= 400:
                # A refusal with which something was kept, and which is therefore an answer.
                meter.others[answer.status // 100] += 1
        if answer.is_replay:
            self._meters.idempotency_hits += 1
        self._meters.heartbeats_refused.update(answer.refused)
        if routine is not None and answer.note is None:
            return
        self._log.add(
            RequestRecord(
                **self._common(scope, ids, seconds=seconds),
                status=answer.status,
                response_bytes=response_bytes,
                error_code=None,
                detail=answer.note,
                is_replay=answer.is_replay,
            )
        )

    def refused(self, scope: Mapping[str, Any], problem: Body, began: float, response_bytes: int, ids: Ids) -> None:
        """Note a request that was answered by a problem document."""
        seconds = now() - began
        route: Route | None = scope.get(ROUTE)
        meter = self._watched(route).meter
        meter.seconds.add(seconds)
        meter.others[problem["status"] // 100] += 1
        self._meters.errors[problem["code"]] += 1
        if route is not None and route.routine is HEARTBEAT:
            self._meters.heartbeats_refused[problem["code"]] += 1
        self._log.add(
            RequestRecord(
                **self._common(scope, ids, seconds=seconds),
                status=problem["status"],
                response_bytes=response_bytes,
                error_code=problem["code"],
                detail=_detail(problem),
                is_replay=False,
            )
        )

    def _common(self, scope: Mapping[str, Any], ids: Ids, *, seconds: float) -> dict[str, Any]:
        """What a line tells whatever became of the request."""
        (_, request_id), (_, correlation_id) = ids[:2]
        route: Route | None = scope.get(ROUTE)
        actor: Actor | None = scope.get(ACTOR)
        return {
            "account_id": DEFAULT_ACCOUNT if actor is None else actor.account_id,
            "id": "",
            "at_ms": self._log.wall_ms(),
            # A caller chose these, and may have chosen badly.
            "request_id": redacted(request_id.decode()),
            "correlation_id": redacted(correlation_id.decode()),
            "method": scope["method"],
            "route": None if route is None else route.path,
            "key_id": None if actor is None else actor.key_id,
            "duration_us": int(seconds * 1_000_000),
            "request_bytes": scope.get(BODY_BYTES, 0),
        }

    def settle(self) -> None:
        """Count the heartbeats that were accepted since the last time.

        Many at once, by loops in C, cost a fraction of what one after another would on their way out.
        """
        beats, self._beats = self._beats, []
        if not beats:
            return
        routes, actors, seconds, accepted = zip(*beats, strict=True)
        route_ids, actor_ids = tuple(map(id, routes)), tuple(map(id, actors))
        route_of, actor_of = dict(zip(route_ids, routes, strict=True)), dict(zip(actor_ids, actors, strict=True))
        for (route_id, actor_id, beats_each), count in Counter(
            zip(route_ids, actor_ids, accepted, strict=True)
        ).items():
            counted = self._watched(route_of[route_id]).tally.setdefault(actor_of[actor_id][:2], [0, 0])
            counted[0] += count
            counted[1] += count * beats_each
        for route_id, route in route_of.items():
            own = seconds if len(route_of) == 1 else compress(seconds, map(route_id.__eq__, route_ids))
            self._watched(route).meter.seconds.add_all(own)
        self._meters.heartbeats_accepted += sum(accepted)

    def _watched(self, route: Route | None) -> _Watched:
        watched = self._routes.get(id(route))
        if watched is None:
            if route is None:
                watched = _Watched(self._meters.route("", ""), {})
            else:
                watched = _Watched(self._meters.route(route.method, route.path), self._log.tally(route.path))
            self._routes[id(route)] = watched
        return watched


def _detail(problem: Body) -> str:
    """Why a request was refused, as its caller was told: the sentence, and the first of the fields that were wrong."""
    errors = problem.get("errors", [])
    fields = "; ".join(f"{each['field']} {each['message']}".strip() for each in errors[:FIELDS_TOLD_MAX])
    more = f"; and {len(errors) - FIELDS_TOLD_MAX} more" if len(errors) > FIELDS_TOLD_MAX else ""
    return redacted(fields + more if fields else problem["detail"])[:DETAIL_CHARS_MAX]
