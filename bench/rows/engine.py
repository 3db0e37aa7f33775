"""The engine without HTTP: beats decided and committed in batches, beside plain statements for the same rows."""

import gc
import time
from collections.abc import Iterator
from functools import partial

from bench.databases import ACTOR, Database
from bench.figures import Goal, NotMeasured, Row, alternated, compared
from bench.rows.beats import RawBeats
from bench.stand import Stand
from holdfast.commands.command import Envelope
from holdfast.commands.heartbeats import Heartbeat
from holdfast.commands.view import Reply
from holdfast.domain.ids import ENTROPY_BYTES, Mint, SessionId
from holdfast.domain.limits import BEAT_SPACING_MS
from holdfast.engine.batch import run_batch
from holdfast.store.port import Store

BATCHES = (1, 16, 64, 256, 1_000)
GOAL = Goal(0.5, is_floor=True, must=0.3)

REST_SECONDS = 1.2 * BEAT_SPACING_MS / 1_000
"""Between two runs of ours: a beat that comes sooner after the last one is not written."""


class EngineBeats:
    """Beats carried out by `run_batch`, each session at most once in a run."""

    def __init__(
        self, database: Database, store: Store, session_ids: list[SessionId], *, fencing_token: int, seconds: float
    ) -> None:
        self._database = database
        self._store = store
        self._ids = session_ids
        self._fencing_token = fencing_token
        self._seconds = seconds
        self._mint = Mint()
        self._progress = 0
        self._ended_at = 0.0

    def rate(self, batch: int) -> float:
        """Beats a second in batches of so many. Raises: NotMeasured where not every one of them was written."""
        time.sleep(max(0.0, self._ended_at + REST_SECONDS - time.monotonic()))
        self._progress += 1
        beats, taken = 0, 0.0
        while taken < self._seconds and beats + batch <= len(self._ids):
            envelopes = [self._envelope(each) for each in self._ids[beats : beats + batch]]
            began_at = time.perf_counter()
            outcomes = run_batch(self._store, envelopes, mint=self._mint)
            taken += time.perf_counter() - began_at
            refused = next((each for each in outcomes if not isinstance(each, Reply)), None)
            if refused is not None:
                raise NotMeasured(f"a beat was refused: {refused}")
            beats += batch
        self._ended_at = time.monotonic()
        written = self._database.count(f"select count(*) from session where progress = {self._progress}")
        if written != beats:
            raise NotMeasured(f"{written:,} of {beats:,} beats were written")
        return beats / taken

    def _envelope(self, session_id: SessionId) -> Envelope:
        command = Heartbeat(session_id, self._fencing_token, None, self._progress, None)
        entropy = self._progress.to_bytes(ENTROPY_BYTES, "big")
        return Envelope(command, ACTOR, entropy, "bench", None, is_beat=True)


def engine(stand: Stand, store: str) -> Iterator[Row]:
    """Beats a second by the size of the batch. Raises: NotMeasured."""
    seeded = stand.filled(store).beating
    database = stand.copy_of(store)
    raw = RawBeats(stand.copy_of(store), seeded.session_ids, seconds=stand.options.seconds / 2)
    opened = database.open()
    gc.collect()
    gc.freeze()
    try:
        ours = EngineBeats(
            database,
            opened,
            seeded.session_ids,
            fencing_token=seeded.fencing_token,
            seconds=stand.options.seconds / 2,
        )
        for batch in BATCHES:
            pairs = alternated(partial(ours.rate, batch), partial(raw.rate, batch), runs=stand.options.runs)
            yield compared(
                f"beats/s, batches of {batch:,}",
                database.store_name,
                ours=[each for each, _ in pairs],
                beside=[each for _, each in pairs],
                goals=(GOAL,),
            )
    finally:
        gc.unfreeze()
        opened.close()
        raw.close()
