"""In which order the runner hears of its own signals and of what the keeper says."""

import subprocess
import sys

import pytest

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="has no such signals")

STOPPED_TOGETHER = """
import os, select, signal, socket, sys
from holdfast.runner import kept_command

waits, order = select.select, []

class Command(kept_command.KeptCommand):
    def _stop_like(self, number):
        order.append("stop")

def wait_until_scheduled(*lists):
    found = waits(*lists)
    told = command._socket.recv(65536, socket.MSG_PEEK) if command._channel.descriptor in found[0] else b""
    if b'"stopped"' in told and not order:
        # The group's signal is delivered when the system call returns, which found the keeper's word alone.
        order.append("come")
        signal.raise_signal(signal.SIGTSTP)
    return found

command = Command(["sh", "-c", "kill -STOP $$"], os.environ, stop_grace_seconds=1, leaves_background=False)
kept_command.select.select = wait_until_scheduled
tell = command._channel.send
command._channel.send = lambda **words: (order.append(words["do"]), tell(**words))
events = []
while not any(isinstance(event, kept_command.Gone) for event in events):
    events = command.wait()
print(*order, file=sys.stderr)  # Standard output is the command's.
"""


def test_a_stop_of_the_whole_group_is_told_before_this_process_stops_too() -> None:
    """Told after `fg`, it would be taken for a new one, and stop the command at once."""
    told = subprocess.run([sys.executable, "-c", STOPPED_TOGETHER], stderr=subprocess.PIPE, text=True, timeout=30)
    assert told.stderr.split()[:4] == ["come", "signal", "stop", "awake"]
