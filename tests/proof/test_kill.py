"""A server that is killed (SIGKILL) while it is busy: what it acknowledged is there, once.

HOLDFAST_PROOF_CYCLES says how often it is killed in the long test; HOLDFAST_PROOF_SEED with what the dice begin.
"""

import os
import random
import time
from collections.abc import Callable, Sequence

import pytest

from tests.proof.broken_server import program
from tests.proof.client import Client
from tests.proof.conftest import Serve
from tests.proof.load import Holder, Ledger, check, check_over_http, working
from tests.proof.report import Finding, Kind, summary
from tests.support.server import PROGRAM, Server

CYCLES_IN_CI = 3
CYCLES = int(os.environ.get("HOLDFAST_PROOF_CYCLES", "200"))
SEED = int(os.environ.get("HOLDFAST_PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

HOLDERS = 8
SCOPES = 3
LIFE_SECONDS = (0.1, 0.5)
"""How long a server lives under load before it is killed."""

CONTROL_CYCLES_MAX = 12
HTTP_SESSIONS_MAX = 40
"""Sessions that are also looked at through the server, after each cycle; the tables are compared whole."""


def test_a_killed_server_has_everything_that_it_acknowledged_and_has_it_once(serve: Serve, database_url: str) -> None:
    ledger = _kill_again_and_again(serve, database_url, cycles=CYCLES_IN_CI, until=lambda ledger: ledger.repeated > 0)
    assert ledger.findings == []
    assert ledger.repeated > 0, "no kill met a request in flight"


def test_a_request_sent_again_because_the_answer_was_lost_has_one_effect(serve: Serve, database_url: str) -> None:
    ledger = _kill_again_and_again(
        serve,
        database_url,
        cycles=CYCLES_IN_CI,
        until=lambda ledger: ledger.replayed > 0,
        served_by=program("reply_late"),
    )
    assert ledger.findings == []
    assert ledger.replayed > 0, "no kill came between a commit and its answers"


def test_a_server_that_answers_before_it_commits_is_caught(serve: Serve, database_url: str) -> None:
    _kill_until_found(Kind.LOST, serve, database_url, served_by=program("reply_before_commit"))


def test_a_server_that_forgets_idempotency_keys_is_caught(serve: Serve, database_url: str) -> None:
    _kill_until_found(Kind.DOUBLED, serve, database_url, served_by=program("forget_keys"))


@pytest.mark.proof
def test_a_server_killed_again_and_again_has_everything_once(serve: Serve, database_url: str) -> None:
    ledger = _kill_again_and_again(serve, database_url, cycles=CYCLES)
    assert ledger.findings == []


def _kill_until_found(kind: Kind, serve: Serve, database_url: str, *, served_by: Sequence[str]) -> None:
    """Kill a server with a bug until the bug is seen for what it is, which must not take long."""
    ledger = Ledger()
    found: list[Finding] = []
    with _Proof(serve, database_url, ledger, served_by=served_by) as proof:
        while not found and proof.cycles < CONTROL_CYCLES_MAX:
            proof.cycle()
            found = [finding for finding in ledger.findings if finding.kind == kind]
        print(f"cycle {proof.cycles}: {found[:1]}")
    assert found, ledger.findings


def _kill_again_and_again(
    serve: Serve,
    database_url: str,
    *,
    cycles: int,
    until: Callable[[Ledger], bool] = lambda _: True,
    served_by: Sequence[str] = PROGRAM,
) -> Ledger:
    """Kill a server so many times, and then on, within a bound, until what the test is about was met with."""
    ledger = Ledger()
    began_at = time.monotonic()
    with _Proof(serve, database_url, ledger, served_by=served_by) as proof:
        while not ledger.findings and proof.cycles < cycles + CONTROL_CYCLES_MAX:
            if proof.cycles >= cycles and until(ledger):
                break
            proof.cycle()
    seconds = round(time.monotonic() - began_at, 1)
    counts = {"cycles": proof.cycles, **ledger.counts(), "seconds": seconds, "seed": SEED}
    print(summary(f"kill -9, {database_url.partition(':')[0]}", counts, findings=ledger.findings, trials=ledger.acks))
    return ledger


class _Proof:
    """A server under load, which dies once in each cycle, and is compared with the ledger afterwards."""

    def __init__(self, serve: Serve, database_url: str, ledger: Ledger, *, served_by: Sequence[str]) -> None:
        self.cycles = 0
        self._random = random.Random(SEED)
        self._database_url = database_url
        self._ledger = ledger
        self._server: Server = serve(database_url, program=served_by)
        self._client = Client(self._server)
        self._holders = [
            Holder(f"holder-{number}", f"scope-{number % SCOPES}", [self._server], ledger, seed=SEED + number)
            for number in range(HOLDERS)
        ]

    def __enter__(self) -> "_Proof":
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()
        for holder in self._holders:
            holder.close()

    def cycle(self) -> None:
        """Work, die, come back, answer what was left unanswered, compare."""
        self.cycles += 1
        before = set(self._ledger.sessions)
        with working(self._holders):
            time.sleep(self._random.uniform(*LIFE_SECONDS))
            self._server.kill()
            self._server.start()
        check(self._ledger, self._database_url)
        fresh = [session_id for session_id in self._ledger.sessions if session_id not in before]
        self._client.close()
        check_over_http(self._ledger, self._client, fresh[-HTTP_SESSIONS_MAX:])
