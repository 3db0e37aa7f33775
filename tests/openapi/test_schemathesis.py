"""What the API says of itself, put to the test by schemathesis: a real server on each kind of store, all checks."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Final

import pytest

from tests.support.server import HOST, KEY, Server

HERE: Final = Path(__file__).parent
REPOSITORY: Final = HERE.parent.parent

EXAMPLES: Final = 3
"""Random requests for each route, besides those that cover each bound of each field: together about 14,000."""

PROOF_EXAMPLES: Final = 60
SEED: Final = 20_260_117
SHOWN_CHARS: Final = 20_000


PHASES: Final = "examples,coverage,fuzzing"
PROOF_PHASES: Final = "examples,coverage,fuzzing,stateful"
"""The last follows thousands of links from answer to request, and takes minutes."""


def complaints(server: Server, directory: Path, *, examples: int, phases: str, seed: int, mode: str = "all") -> str:
    """What schemathesis has to say of a server; nothing, if it found nothing. It leaves its files in the directory."""
    run = subprocess.run(
        [
            *(sys.executable, "-m", "schemathesis.cli", "--no-color"),
            *("--config-file", str(HERE / "schemathesis.toml")),
            *("run", f"http://{HOST}:{server.port}/openapi.json"),
            *("--exclude-path", "/v1/events/stream"),  # It does not end.
            *("--header", f"Authorization: Bearer {KEY}"),
            *("--checks", "all", "--max-examples", str(examples), "--seed", str(seed), "--phases", phases),
            *("--mode", mode),
        ],
        cwd=directory,
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(REPOSITORY),
            "PYTHONHASHSEED": "0",
            "SCHEMATHESIS_HOOKS": "tests.openapi.hooks",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    return "" if run.returncode == 0 else (run.stdout + run.stderr)[-SHOWN_CHARS:]


@pytest.mark.parametrize(
    ("kind", "mode", "phases"),
    # Bounds are the door's, which does not know what kind of store there is.
    [("sqlite", "all", PHASES), ("postgres", "positive", "examples,fuzzing")],
    ids=["sqlite", "postgres"],
)
def test_no_request_finds_the_api_other_than_it_says(
    kind: str, mode: str, phases: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    with Server(request.getfixturevalue(f"{kind}_url"), directory=tmp_path / "server") as server:
        server.start()
        found = complaints(server, tmp_path, examples=EXAMPLES, phases=phases, seed=SEED, mode=mode)
    assert not found, found


@pytest.mark.proof
@pytest.mark.parametrize("seed", range(3))
def test_no_request_of_many_finds_the_api_other_than_it_says(database_url: str, tmp_path: Path, seed: int) -> None:
    with Server(database_url, directory=tmp_path / "server") as server:
        server.start()
        found = complaints(server, tmp_path, examples=PROOF_EXAMPLES, phases=PROOF_PHASES, seed=seed)
    assert not found, found
