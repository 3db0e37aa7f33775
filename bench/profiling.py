"""A profile of the server under a row's load, by py-spy: where its time goes, before anybody cuts it."""

import shutil
import subprocess
import sys
import sysconfig
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from bench.figures import NotMeasured
from bench.load import Load, Request, load_for
from bench.rows.beats import BATCH_CONNECTIONS, batches_of, beats_of
from bench.rows.writes import STARTS_A_SECOND_MAX, checkpoints, fresh_starts, resumes
from bench.stand import Fleet, Stand

SAMPLES_PER_SECOND = 250
SETTLE_SECONDS = 1
"""Between py-spy's start and the load's: it has to find its way around the process first."""

FUNCTIONS_SHOWN = 40
STACKS_SHARE_MIN = 0.001
"""Stacks that took less than this share of the time are left out of the summary."""

CONNECTIONS = 64

WORK = ("Runner.run (", "Engine._serve (", "Sweeper._serve (")
"""Where the work of a thread begins: the event loop's, the writer's, the sweeper's. What led there tells nothing."""

PROFILED: dict[str, tuple[int, Callable[[Stand, Fleet], Sequence[Request]]]] = {
    "heartbeat": (CONNECTIONS, lambda stand, fleet: beats_of(fleet, progress=stand.next_progress())),
    "batches": (BATCH_CONNECTIONS, lambda stand, fleet: batches_of(fleet, progress=stand.next_progress())),
    "start": (
        CONNECTIONS,
        lambda stand, _: fresh_starts(
            prefix=f"profile-{stand.next_progress()}", count=STARTS_A_SECOND_MAX * stand.options.seconds
        ),
    ),
    "resume": (CONNECTIONS, lambda _, fleet: resumes(fleet)),
    "checkpoint": (CONNECTIONS, lambda _, fleet: checkpoints(fleet, count=sys.maxsize)),
    "constant": (CONNECTIONS, lambda _stand, _fleet: (Request("GET", "/health"),)),
}
"""What can be profiled: connections and requests."""


def profile(stand: Stand, store: str, row: str) -> Iterator[str]:
    """Lines of a summary: functions by their own time and with what they called, then folded stacks.

    Raises: NotMeasured.
    """
    connections, requests_of = PROFILED[row]
    fleet = stand.fleet(store)
    load_for(fleet.target, requests_of(stand, fleet), connections=connections, seconds=1)
    requests = requests_of(stand, fleet)
    folded = stand.directory / "folded.txt"
    load = _sampled(fleet, requests, connections=connections, seconds=stand.options.seconds, folded=folded)
    yield (
        f"# {row} on {fleet.filled.database.store_name}: {load.rate:,.0f} requests/s over {connections} connections "
        f"while sampled, {load.server_microseconds:.1f} µs of CPU each"
    )
    yield from summary(folded.read_text().splitlines())


def summary(folded: Sequence[str]) -> Iterator[str]:
    """Tables, as comments, and the folded stacks that matter, one `frame;frame;… count` a line."""
    own: Counter[str] = Counter()
    with_called: Counter[str] = Counter()
    stacks: Counter[str] = Counter()
    for line in folded:
        stack, _, counted = line.rpartition(" ")
        frames = _frames(stack)
        own[frames[-1]] += int(counted)
        with_called.update(dict.fromkeys(frames, int(counted)))
        stacks[";".join(frames)] += int(counted)
    total = sum(own.values())
    yield f"# {total:,} samples of threads that were running"
    for title, counts in (("own time", own), ("with what it called", with_called)):
        yield f"# {title}:"
        for frame, count in counts.most_common(FUNCTIONS_SHOWN):
            yield f"#   {count / total:6.1%}  {frame}"
    for stack, samples in stacks.most_common():
        if samples >= STACKS_SHARE_MIN * total:
            yield f"{stack} {samples}"


def _frames(stack: str) -> list[str]:
    """The functions of a stack from where its thread's own work begins."""
    frames = [_function(each) for each in stack.split(";")]
    begins_at = [position for position, frame in enumerate(frames) if frame.startswith(WORK)]
    return frames[begins_at[-1] :] if begins_at else frames


def _function(frame: str) -> str:
    """A frame without its line, so that the lines of one function count together, and with a file's name alone."""
    name, _, place = frame.partition(" (")
    path = place.rstrip(")").partition(":")[0]
    return f"{name} ({'/'.join(Path(path).parts[-2:])})" if path else name


def _sampled(fleet: Fleet, requests: Sequence[Request], *, connections: int, seconds: int, folded: Path) -> Load:
    """Run the load with py-spy at the server."""
    py_spy = shutil.which("py-spy", path=sysconfig.get_path("scripts")) or shutil.which("py-spy")
    if py_spy is None:
        raise NotMeasured("py-spy is not installed; `make dev` does")
    command = [py_spy, "record", "--pid", str(fleet.target.pid), "--duration", str(seconds + SETTLE_SECONDS)]
    command += [
        "--rate",
        str(SAMPLES_PER_SECOND),
        "--format",
        "raw",
        "--nonblocking",
        "--output",
        str(folded),
    ]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    ) as sampler:
        try:
            time.sleep(SETTLE_SECONDS)
            load = load_for(fleet.target, requests, connections=connections, seconds=seconds)
            said, _ = sampler.communicate(timeout=30)
        finally:
            sampler.kill()
    if not folded.exists():
        raise NotMeasured(f"py-spy failed: {said.decode(errors='replace').strip()[-300:]}")
    return load
