"""What docs/crane.md tells people to type, typed: its shell commands and its Python, against a real server."""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from holdfast.config import load
from tests.support.server import Server

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "crane.md"
KEY = "a-relay-key-of-ours"
STEP_SECONDS_MAX = 60


def blocks(kind: str) -> list[str]:
    """The blocks of code of one language, in order."""
    return re.findall(rf"```{kind}\n(.*?)```", PAGE.read_text(), re.DOTALL)


@pytest.mark.skipif(shutil.which("curl") is None, reason="there is no curl here")
def test_the_tutorial_works_as_it_stands(sqlite_url: str, tmp_path: Path) -> None:
    here = tmp_path / "here"
    here.mkdir()
    with Server(sqlite_url, directory=tmp_path, environ={"CONTEXT_RELAY_KEY": KEY}) as server:
        server.start()
        environ = {
            "PATH": os.environ["PATH"],
            "HOLDFAST_URL": f"http://127.0.0.1:{server.port}",
            "CONTEXT_RELAY_KEY": KEY,
        }

        def run(*command: str) -> str:
            done = subprocess.run(
                command, cwd=here, env=environ, capture_output=True, text=True, timeout=STEP_SECONDS_MAX
            )
            assert done.returncode == 0, done
            return done.stdout

        run("bash", "-euo", "pipefail", "-c", "\n".join(blocks("sh")))
        (program,) = blocks("python")
        assert len([line for line in program.splitlines() if line]) <= 10
        last = run(sys.executable, "-c", program).strip()
        assert KEY not in server.said

    def said(name: str) -> Any:
        return json.loads((here / f"{name}.json").read_text())

    assert (said("monday")["status"], said("monday")["last_handoff"]) == ("created", None)
    assert said("update")["checkpoint_number"] == 1
    assert 480 <= said("beat")["heartbeat_interval_seconds"] <= 720
    handed = said("tuesday")["last_handoff"]
    assert (handed["id"], handed["to_agent"]) == (said("eod")["handoff_id"], "desktop-*")
    assert [each["grade"] for each in handed["work_completed"] if isinstance(each, dict)] == ["verified"]
    assert said("acknowledged")["handoff"]["status"] == "acknowledged"
    assert [each["agent"] for each in said("active")["sessions"]] == ["desktop-anna"]
    assert said("wednesday")["last_checkpoint"]["summary"] == "JWT middleware works, tests are red"
    assert said("wednesday")["active_sessions"][0]["agent"] == "desktop-anna"
    assert said("latest")["handoff"]["id"] == handed["id"]
    assert (said("history")["total"], last[:3]) == (1, "ho_")


def test_every_setting_of_the_page_is_one(tmp_path: Path) -> None:
    table = PAGE.read_text().partition("## Settings")[2].partition("##")[0]
    names = re.findall(r"^\| `(\w+)`", table, re.MULTILINE)
    values = dict.fromkeys(names, "45") | {"CONTEXT_RELAY_KEY": KEY, "HOLDFAST_CONTEXT_VENTURES": "dfg"}
    loaded = load({}, values, tmp_path)
    assert [source for source in loaded.sources.values() if source == "environment"] == ["environment"] * len(names)
    assert len(names) == 6
