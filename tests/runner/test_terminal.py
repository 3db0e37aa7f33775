"""`holdfast run` under an interactive shell: Ctrl-C, Ctrl-Z and the terminal are as if it were not there."""

import os
import signal
import sys
from pathlib import Path

import pytest

from tests.runner.conftest import World
from tests.runner.processes import QUICK, eventually, pids_in
from tests.runner.terminal import shell

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks at processes through /proc")

TALKER = """
import os, signal, sys
numbers = {signal.SIGQUIT, *(getattr(signal, name) for name in sys.argv[1:])}
signal.pthread_sigmask(signal.SIG_BLOCK, numbers)
open("command", "w").write(str(os.getpid()))
os.write(1, b"<" b"ready>")
while (number := signal.sigwait(numbers)) != signal.SIGQUIT:
    os.write(1, f"<{number.name}>".encode())
sys.exit(6)
"""

RAW = """
import os, signal, sys, termios, tty
before = termios.tcgetattr(0)
tty.setraw(0)
os.write(1, b"<" b"raw>")
while (key := os.read(0, 1)) != b"q":
    if key == b"\\x1a":
        termios.tcsetattr(0, termios.TCSADRAIN, before)
        os.kill(os.getpid(), signal.SIGTSTP)
        tty.setraw(0)
        os.write(1, b"<" b"back>")
termios.tcsetattr(0, termios.TCSADRAIN, before)
"""


def state_of(pid: int) -> str:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def parent_of(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def write_program(world: World, text: str) -> str:
    (world.directory / "program.py").write_text(text)
    return f"./holdfast-run -- {sys.executable} program.py"


def test_control_c_reaches_the_command_once_and_not_the_runner(world: World) -> None:
    line = write_program(world, TALKER)
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type(f"{line} SIGINT\n")
        typed.expect("<ready>")
        typed.type("\x03")
        typed.expect("<SIGINT>")
        typed.type("\x03")
        typed.expect("<SIGINT>")
        typed.type("\x1c")
        assert "<SIGINT>" not in typed.expect("$> ")
        typed.type("echo rc=$?\n")
        typed.expect("rc=6")


def test_control_c_ends_a_command_as_it_would_without_the_runner(world: World) -> None:
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type("./holdfast-run -- sh -c 'echo $$ >command; exec sleep 1000'\n")
        pids_in(world.directory, "command")
        typed.type("\x03")
        typed.expect("$> ")
        typed.type("echo rc=$?\n")
        typed.expect("rc=130")
    assert world.server.asked[-1].body["reason"] == "signal SIGINT"


def test_control_z_stops_the_job_and_fg_goes_on_with_it(world: World) -> None:
    line = write_program(world, TALKER).replace(" -- ", " --heartbeat-interval 600 -- ")
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type(f"{line} SIGCONT\n")
        typed.expect("<ready>")
        (pid,) = pids_in(world.directory, "command")
        family = (pid, parent_of(pid), parent_of(parent_of(pid)))
        for _ in range(3):
            typed.type("\x1a")
            typed.expect("Stopped")
            typed.expect("$> ")
            assert state_of(pid) == "T"
            typed.type("fg\n")
            typed.expect("<SIGCONT>")
            # Runner and keeper too: a stop that comes while they are still passing the continuation on is undone by it.
            eventually(lambda: all(state_of(each) == "S" for each in family))
        # Whoever was stopped may be overdue, so it beats as soon as it goes on, and not only after its 600 s.
        world.server.wait_for("/heartbeat")
        typed.type("\x1c")
        typed.expect("$> ")
        typed.type("echo rc=$?\n")
        typed.expect("rc=6")


def test_a_job_that_is_continued_from_elsewhere_goes_on_with_its_command(world: World) -> None:
    line = write_program(world, TALKER)
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type(f"{line} SIGCONT\n")
        typed.expect("<ready>")
        (pid,) = pids_in(world.directory, "command")
        typed.type("\x1a")
        typed.expect("Stopped")
        # Once the runner alone is told to go on, and once the command alone.
        for told in (parent_of(parent_of(pid)), pid):
            eventually(lambda: state_of(pid) == "T")
            os.kill(told, signal.SIGCONT)
            typed.expect("<SIGCONT>")
            eventually(lambda: state_of(parent_of(parent_of(pid))) == "S")
            os.kill(pid, signal.SIGSTOP)
            eventually(lambda: state_of(parent_of(parent_of(pid))) == "T")
        os.kill(pid, signal.SIGKILL)


def test_a_program_that_stops_itself_gives_the_terminal_back_to_the_shell(world: World) -> None:
    line = write_program(world, RAW)
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type(f"{line}\n")
        typed.expect("<raw>")
        typed.type("\x1a")
        typed.expect("Stopped")
        typed.expect("$> ")
        typed.type("fg\n")
        typed.expect("<back>")
        typed.type("q")
        typed.expect("$> ")
        typed.type("echo rc=$?\n")
        typed.expect("rc=0")


def test_a_job_in_the_background_is_brought_to_the_front(world: World) -> None:
    line = write_program(world, TALKER)
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type(f"{line} &\n")
        typed.expect("<ready>")
        (pid,) = pids_in(world.directory, "command")
        typed.type("fg\n")
        eventually(lambda: typed.foreground_group() == os.getpgid(pid))
        typed.type("\x1c")
        typed.expect("$> ")
        typed.type("echo rc=$?\n")
        typed.expect("rc=6")


def test_a_shell_as_the_command_has_its_own_job_control(world: World) -> None:
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type("PS1='inn''er> ' ./holdfast-run -- bash --norc --noprofile -i\n")
        typed.expect("inner> ")
        typed.type("sh -c 'echo $$ >command; exec sleep 1000'\n")
        (pid,) = pids_in(world.directory, "command")
        typed.type("\x1a")
        typed.expect("Stopped")
        typed.expect("inner> ")
        assert state_of(pid) == "T"
        typed.type("fg\n")
        eventually(lambda: typed.foreground_group() == os.getpgid(pid) and state_of(pid) == "S")
        typed.type("\x03")
        typed.expect("inner> ")
        typed.type("exit 5\n")
        typed.expect("$> ")
        typed.type("echo rc=$?\n")
        typed.expect("rc=5")


def test_a_program_that_is_killed_in_raw_mode_leaves_a_usable_terminal(world: World) -> None:
    write_program(world, RAW + "\n")
    words = " ".join([*QUICK, "--stop-grace", "0"])
    with shell(world.environ, cwd=world.directory) as typed:
        typed.type(f"./holdfast-run {words} -- {sys.executable} program.py\n")
        typed.expect("<raw>")
        world.server.stop_reason = "enough"
        typed.expect("$> ")
        typed.type("stty -a | tr ' ' '\\n' | grep -x -e echo -e icanon | sort | tr '\\n' +; echo rc=$?\n")
        typed.expect("echo+icanon+rc=0")
