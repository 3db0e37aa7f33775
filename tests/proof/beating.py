"""Holders that beat at a third of their lease and try again until they are heard: nobody may think them dead."""

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from holdfast.domain.times import epoch_ms
from tests.proof.client import Answer, Body, Client, Reachable, Unanswered
from tests.support.server import eventually

LEASE_SECONDS = 3
INTERVAL_SECONDS = LEASE_SECONDS / 3
AGAIN_SECONDS = 0.1
ANSWER_SECONDS_MAX = 1.0
STARVED_SECONDS = 2.0
"""A holder that did not even try for so long was kept from it by the machine, and says nothing about the server."""

POLICY = {"lease_seconds": LEASE_SECONDS, "heartbeat_interval_seconds": INTERVAL_SECONDS}


class Beater:
    """One session, and what its beats were answered with. servers: it changes over where it is not heard."""

    def __init__(self, servers: Sequence[Reachable], session: Body) -> None:
        self.session_id: str = session["id"]
        self.last_heartbeat_at: str = session["last_heartbeat_at"]
        self.beats = 0
        self.unheard: list[Answer | None] = []
        self.refused: list[Answer] = []
        self.silent_seconds_max = 0.0
        self._token: int = session["fencing_token"]
        self._clients = [Client(server, answer_seconds_max=ANSWER_SECONDS_MAX) for server in servers]
        self._tried_at = time.monotonic()

    def beat_until(self, silence: threading.Event) -> None:
        """Beat, again and again."""
        self._tried_at = time.monotonic()
        while not silence.is_set():
            began_at = time.monotonic()
            is_heard = self._beat()
            self.silent_seconds_max = max(self.silent_seconds_max, began_at - self._tried_at)
            self._tried_at = began_at
            wait_seconds = INTERVAL_SECONDS - (time.monotonic() - began_at) if is_heard else AGAIN_SECONDS
            silence.wait(max(0.0, wait_seconds))
        for client in self._clients:
            client.close()

    def _beat(self) -> bool:
        try:
            path = f"/v1/sessions/{self.session_id}/heartbeat"
            answer = self._clients[0].post(path, {"fencing_token": self._token, "progress": self.beats + 1})
        except Unanswered:
            self.unheard.append(None)
            self._clients.append(self._clients.pop(0))
            return False
        if answer.status == 503:
            self.unheard.append(answer)
            return False
        if answer.status != 200 or answer.body["reactivated"]:
            self.refused.append(answer)
        else:
            self.last_heartbeat_at = answer.body["last_heartbeat_at"]
            self.beats += 1
        return True


@contextmanager
def beating(beaters: Sequence[Beater]) -> Iterator[None]:
    """Let them beat; afterwards they are silent."""
    silence = threading.Event()
    threads = [threading.Thread(target=beater.beat_until, args=(silence,), daemon=True) for beater in beaters]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        silence.set()
        for thread in threads:
            thread.join()


def fleet(servers: Sequence[Reachable], *, size: int) -> list[Beater]:
    """Sessions that are started now, and will need beats."""
    with Client(servers[0]) as client:
        return [
            Beater(servers, client.started(f"fleet-{number}", holder_id=f"holder-{number}", policy=POLICY))
            for number in range(size)
        ]


def hear(beaters: Sequence[Beater], *, more: int = 2) -> None:
    """Return when everybody has been heard so many times from now on."""
    before = {beater.session_id: beater.beats for beater in beaters}
    eventually(lambda: all(beater.beats >= before[beater.session_id] + more or beater.refused for beater in beaters))


def dead_by_mistake(beaters: Sequence[Beater], client: Client) -> list[object]:
    """What was taken for the end of a holder that had tried to beat all the time."""
    stalled = {event["session_id"]: event for event in client.events(type="session.stalled")}
    alive = [beater for beater in beaters if beater.silent_seconds_max < STARVED_SECONDS]
    if len(alive) < len(beaters):
        print(f"{len(beaters) - len(alive)} of {len(beaters)} holders were starved by the machine and do not count")
    mistakes: list[object] = [stalled[beater.session_id] for beater in alive if beater.session_id in stalled]
    mistakes += [answer for beater in alive for answer in beater.refused]
    return mistakes


def detection_delays_ms(session_ids: Sequence[str], client: Client) -> list[int]:
    """How late each lapse was recorded, once all have been; each must have been recorded once."""
    wanted = set(session_ids)

    def stalled() -> list[Body]:
        return [event for event in client.events(type="session.stalled") if event["session_id"] in wanted]

    eventually(lambda: len(stalled()) >= len(wanted))
    events = stalled()
    assert sorted(event["session_id"] for event in events) == sorted(wanted)
    return [epoch_ms(event["recorded_at"]) - epoch_ms(event["at"]) for event in events]
