"""A power cut at any write: the SQLite store holds what some prefix of the batches left, and every acknowledged one."""

import os
import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from holdfast.commands.command import Envelope
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.notes import WriteCheckpoint
from holdfast.commands.transitions import EndSession, PauseSession
from holdfast.commands.view import Reply
from holdfast.domain.ids import SessionId
from holdfast.domain.session import EndReason
from holdfast.store import sqlite
from holdfast.store.sqlite import SqliteStore
from holdfast.testing.caller import Caller
from holdfast.testing.clock import FakeClock
from holdfast.testing.dicts import DictStore
from holdfast.testing.factories import start
from tests.proof import database
from tests.proof.power_cut import Disk, Image, Operation
from tests.proof.report import Finding, Kind, summary
from tests.support.stores import Dump, dump

CUTS_IN_CI = 300
CUTS_OF_CONTROL = 60
CUTS = int(os.environ.get("HOLDFAST_PROOF_CYCLES", "200")) * 25
SEED = int(os.environ.get("HOLDFAST_PROOF_SEED", "0")) or random.SystemRandom().randrange(1, 2**32)

CUTS_PER_RUN = 10
BATCHES = 24
BATCH_MAX = 6
CUT_SHARE = 0.05
"""Of all writes and syncs of a run, those at which a cut is looked at."""

CONTROL_LOSING_SHARE = 0.5

SELDOM_PAGES, OFTEN_PAGES = 10_000, 80
"""How often the log is copied into the file. That syncs the log too, and so hides what a lax sync loses."""


class Cut(NamedTuple):
    """What a cut left, and how many batches had been acknowledged by then."""

    image: Image
    acknowledged: int


class Proof:
    """Runs, their cuts, and what was found after them."""

    def __init__(self, directory: Path, *, checkpoint_pages: Sequence[int]) -> None:
        self.cuts = 0
        self.acks = 0
        self.losing_cuts = 0
        self.findings: list[Finding] = []
        self._directory = directory
        self._checkpoint_pages = checkpoint_pages

    def run(self, seed: int) -> None:
        """One life of a store, with cuts all along it; then its recovery from one of them, with cuts as well."""
        dice = random.Random(seed)
        pages = dice.choice(self._checkpoint_pages)
        dumps, cuts = _live(self._fresh("life"), dice, checkpoint_pages=pages)
        for cut in dice.sample(cuts, min(CUTS_PER_RUN, len(cuts))):
            self._look_at(cut, dumps, seed=seed)
        again = dice.choice(cuts)
        for image in dice.sample(recovered := _recover(self._fresh("recovery"), again, dice), min(3, len(recovered))):
            self._look_at(again._replace(image=image), dumps, seed=seed)

    def _look_at(self, cut: Cut, dumps: list[Dump], *, seed: int) -> None:
        self.cuts += 1
        self.acks += cut.acknowledged
        path = self._fresh("image") / "holdfast.db"
        for name, data in cut.image.items():
            path.with_name(name).write_bytes(data)
        store = SqliteStore(path, clock=FakeClock())
        try:
            found = dump(store)
        finally:
            store.close()
        for fault in database.faults_of(f"sqlite:///{path}"):
            self.findings.append(Finding(Kind.WRONG, f"seed {seed}: integrity: {fault}"))
        if found not in dumps:
            self.findings.append(Finding(Kind.WRONG, f"seed {seed}: what is left is not what any batch left"))
        elif found not in dumps[cut.acknowledged :]:
            self.losing_cuts += 1
            left = len(dumps) - 1 - dumps[::-1].index(found)
            self.findings.append(Finding(Kind.LOST, f"seed {seed}: {cut.acknowledged} acknowledged, {left} left"))

    def _fresh(self, name: str) -> Path:
        directory = self._directory / name
        directory.mkdir(exist_ok=True)
        for left_over in directory.iterdir():
            left_over.unlink()
        return directory


def test_a_power_cut_leaves_every_acknowledged_batch(tmp_path: Path) -> None:
    proof = _prove(tmp_path, cuts=CUTS_IN_CI)
    assert proof.findings == []


@pytest.mark.proof
def test_thousands_of_power_cuts_leave_every_acknowledged_batch(tmp_path: Path) -> None:
    proof = _prove(tmp_path, cuts=CUTS)
    assert proof.findings == []


def test_without_full_sync_a_power_cut_loses_what_was_acknowledged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lax = tuple(pragma.replace("synchronous = full", "synchronous = normal") for pragma in sqlite.PRAGMAS)
    assert lax != sqlite.PRAGMAS
    monkeypatch.setattr(sqlite, "PRAGMAS", lax)
    proof = _prove(tmp_path, cuts=CUTS_OF_CONTROL, checkpoint_pages=(SELDOM_PAGES,))
    assert {finding.kind for finding in proof.findings} == {Kind.LOST}
    assert proof.losing_cuts > CONTROL_LOSING_SHARE * proof.cuts


def _prove(directory: Path, *, cuts: int, checkpoint_pages: Sequence[int] = (SELDOM_PAGES, OFTEN_PAGES)) -> Proof:
    proof = Proof(directory, checkpoint_pages=checkpoint_pages)
    dice = random.Random(SEED)
    runs = 0
    while proof.cuts < cuts:
        runs += 1
        proof.run(dice.randrange(2**32))
    counts = {"cuts": proof.cuts, "runs": runs, "losing cuts": proof.losing_cuts, "acks": proof.acks, "seed": SEED}
    print(summary("power cuts", counts, findings=proof.findings, trials=proof.acks))
    return proof


def _live(directory: Path, dice: random.Random, *, checkpoint_pages: int) -> tuple[list[Dump], list[Cut]]:
    """Run batches on a disk; what each left, from none on, and the cuts on the way."""
    acknowledged = 0
    cuts: list[Cut] = []

    def cut_now_and_then(_: Operation) -> None:
        if acknowledged and dice.random() < CUT_SHARE:
            cuts.append(Cut(disk.after_cut(dice), acknowledged))

    disk = Disk(before_each=cut_now_and_then)
    clock, twin_clock = FakeClock(), FakeClock()
    twin = Caller(DictStore(clock=twin_clock), twin_clock)
    dumps = [dump(twin.store)]
    with disk.in_use():
        store = SqliteStore(directory / "holdfast.db", clock=clock)
        store._writer.wal_autocheckpoint(checkpoint_pages)
        caller = Caller(store, clock)
        for batch in _batches(twin, dice):
            outcomes = caller.send(batch)
            acknowledged += 1
            assert all(isinstance(outcome, Reply) for outcome in outcomes), outcomes
            dumps.append(dump(twin.store))
            clock.advance(100)
            twin_clock.advance(100)
        cuts.append(Cut(disk.after_cut(dice), acknowledged))
        store.close()
    return dumps, cuts


def _batches(twin: Caller, dice: random.Random) -> Iterator[list[Envelope]]:
    """Batches of what holders say, each carried out on the twin as it is given out."""
    sessions: list[tuple[SessionId, int]] = []
    for number in range(BATCHES):
        envelopes = [twin.wrap(start(f"scope-{number}", holder_id=f"holder-{number}", exclusive=True), key=f"{number}")]
        for session_id, token in dice.sample(sessions, min(len(sessions), dice.randrange(BATCH_MAX))):
            said = dice.choice(
                (
                    Heartbeat(session_id, token, progress=number),
                    WriteCheckpoint(session_id, token, "x" * dice.randrange(1, 4_000)),
                    PauseSession(session_id, token),
                    EndSession(session_id, token, EndReason.COMPLETED),
                )
            )
            if isinstance(said, EndSession):
                sessions.remove((session_id, token))
            envelopes.append(twin.wrap(said))
        first, *_ = twin.send(envelopes)
        assert isinstance(first, Reply)
        sessions.append((SessionId(first.body["id"]), first.body["fencing_token"]))
        yield envelopes


def _recover(directory: Path, cut: Cut, dice: random.Random) -> list[Image]:
    """Open what a cut left on a disk, and cut that again and again; the last image is from after the close."""
    images: list[Image] = []
    disk = Disk(before_each=lambda _: images.append(disk.after_cut(dice)))
    disk.load(cut.image, directory)
    with disk.in_use():
        SqliteStore(directory / "holdfast.db", clock=FakeClock()).close()
    images.append(disk.after_cut(dice))
    return images
