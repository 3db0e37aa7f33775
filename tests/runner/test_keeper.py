"""How the keeper finds and kills a tree of processes, on each kind of platform."""

import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from holdfast.runner.keeper import RememberingTree, Tree, kill_tree
from tests.runner.processes import eventually, is_alive, pids_in

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")


def nest(*scripts: str) -> list[str]:
    """A shell that runs the first script, beside a shell in it that runs the second, and so on; each waits."""
    line = "wait"
    for script in reversed(scripts):
        line = f"{script}; sh -c {shlex.quote(line)} & wait"
    return ["sh", "-c", line]


@pytest.mark.parametrize("make_tree", [Tree, RememberingTree])
def test_a_tree_is_killed_until_nothing_of_it_is_left(tmp_path: Path, make_tree: Callable[[int], Tree]) -> None:
    words = nest(":", "echo $$ >top", "echo $$ >middle", "echo $$ >bottom; exec sleep 1000")
    with subprocess.Popen(words, cwd=tmp_path) as root:
        pids = pids_in(tmp_path, "top", "middle", "bottom")
        tree = make_tree(root.pid)
        assert {*pids} <= {found.pid for found in tree.find()}
        assert kill_tree(tree, reap=lambda: None)
        eventually(lambda: not any(is_alive(pid) for pid in pids))
        root.kill()


def test_a_tree_without_subreapers_remembers_orphans_that_it_has_seen(tmp_path: Path) -> None:
    words = nest(":", "echo $$ >parent", "echo $$ >orphan; exec sleep 1000")
    with subprocess.Popen(words, cwd=tmp_path) as root:
        parent, orphan = pids_in(tmp_path, "parent", "orphan")
        tree = RememberingTree(root.pid)
        tree.find()
        os.kill(parent, signal.SIGKILL)
        eventually(lambda: Tree(root.pid).find() == [])
        assert [found.pid for found in tree.find()] == [orphan]
        assert kill_tree(tree, reap=lambda: None)
        root.kill()
