"""`holdfast ps --watch`: the table kept up to date, also while the server is away."""

import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from rich.console import Console, Group
from rich.live import Live
from rich.text import Text

from holdfast.client.api import Api, ApiRefusal, Json, Unreachable
from holdfast.doors.cli.layout import Line, Span
from holdfast.doors.cli.table import Selection, footer, read_sessions, table
from holdfast.doors.cli.text import fit, shown
from holdfast.doors.cli.words import duration

if TYPE_CHECKING:
    from collections.abc import Callable

INTERVAL_SECONDS = 1.0
"""Between two looks at the server, and two drawings of the table."""

FIRST_LOOK_SECONDS_MAX = 0.5
"""How long the first screen waits for something to show."""

KEYS_THAT_LEAVE = frozenset("qQ\x03\x1b")

LINES_AROUND = 6
"""Lines of a screen that are not sessions: the heading, the titles, the footer, and the space between them."""


@dataclass(frozen=True)
class Seen:
    """What was seen last.

    server_now: the present by the server's clock when it was seen, epoch seconds; seen_at: the same moment by the
    steady clock here. away: why nothing newer is known; empty while all is well.
    """

    sessions: list[dict[str, Json]] | None = None
    server_now: float = 0.0
    seen_at: float = 0.0
    away: str = ""


class _Watcher:
    """Looks at the server again and again, in a thread of its own, so that a key is heard while it does not answer."""

    def __init__(self, api: Api, selection: Selection) -> None:
        self.seen = Seen()
        self.refusal: ApiRefusal | None = None
        self.has_looked = threading.Event()
        self._api = api
        self._selection = selection
        self._is_over = threading.Event()

    def run(self) -> None:
        """Look until told otherwise. A refusal before anything was seen ends it: the next answer would be the same."""
        try:
            self._look_again_and_again()
        finally:
            self._api.close()

    def _look_again_and_again(self) -> None:
        while not self._is_over.is_set():
            last = self.seen
            try:
                sessions, now = read_sessions(self._api, self._selection)
                self.seen = Seen(sessions, now, time.monotonic())
            except Unreachable as exc:
                self.seen = replace(last, away=exc.cause)
            except ApiRefusal as refusal:
                if last.sessions is None:
                    self.refusal = refusal
                    return
                self.seen = replace(last, away=refusal.detail)
            finally:
                self.has_looked.set()
            self._is_over.wait(INTERVAL_SECONDS)

    def end(self) -> None:
        """Look no more."""
        self._is_over.set()


def watch(api: Api, selection: Selection) -> None:
    """Show the sessions until somebody presses q or interrupts.

    Raises: ApiRefusal where the server refuses the first look.
    """
    watcher = _Watcher(api, selection)
    threading.Thread(target=watcher.run, daemon=True).start()
    watcher.has_looked.wait(FIRST_LOOK_SECONDS_MAX)
    console = Console(highlight=False, markup=False, emoji=False)
    try:
        with keys() as is_leaving, Live(console=console, screen=True, auto_refresh=False, transient=True) as live:
            while watcher.refusal is None and not is_leaving():
                size = console.size
                lines = screen(
                    watcher.seen,
                    url=api.url,
                    selection=selection,
                    width=size.width,
                    height=size.height,
                    steady_now=time.monotonic(),
                )
                live.update(Group(*map(_rich, lines)), refresh=True)
    except KeyboardInterrupt:
        pass
    finally:
        watcher.end()
    if watcher.refusal is not None:
        raise watcher.refusal


def screen(seen: Seen, *, url: str, selection: Selection, width: int, height: int, steady_now: float) -> list[Line]:
    """The lines of one screen. steady_now: the present by the clock of `Seen.seen_at`."""
    heading = [Span("holdfast ", "bold"), Span(f"{url}   q leaves", "dim")]
    unheard_seconds = steady_now - seen.seen_at
    away: list[Line] = []
    if seen.away:
        since = "does not answer yet" if seen.sessions is None else f"has not answered for {duration(unheard_seconds)}"
        last = "" if seen.sessions is None else " What it said last:"
        text = f"The server {since} ({seen.away}); still asking.{last}"
        away = [(Span(fit(shown(text), width, cut="end"), "bold red"),)]
    if seen.sessions is None:
        return [tuple(heading), *away]
    # What the server said last is shown as of then: how its sessions fare meanwhile is not known.
    now = seen.server_now + (0 if seen.away else unheard_seconds)
    if not seen.sessions:
        return [tuple(heading), *away, (), (Span("Nobody is working. Begin a session: holdfast run -- COMMAND"),)]
    lines = table(seen.sessions, now=now, width=width)
    room = max(1, height - LINES_AROUND - len(away))
    hidden = max(0, len(lines) - 1 - room)
    rest: list[Line] = [(Span(f"and {hidden} more", "dim"),)] if hidden else []
    summary = footer(seen.sessions, items_max=selection.items_max)[:1]
    fitting: list[Line] = [
        tuple(Span(fit(span.text, width, cut="end"), span.style) for span in line) for line in summary
    ]
    return [tuple(heading), *away, (), *lines[: room + 1], *rest, (), *fitting]


def _rich(line: Line) -> Text:
    text = Text(no_wrap=True, overflow="crop")
    for span in line:
        text.append(shown(span.text), style=span.style or None)
    return text


if sys.platform == "win32":

    @contextmanager
    def keys() -> "Iterator[Callable[[], bool]]":
        """A function that waits for one interval and says whether somebody pressed a key that leaves."""
        import msvcrt

        def is_leaving() -> bool:
            time.sleep(INTERVAL_SECONDS)
            return msvcrt.kbhit() and msvcrt.getwch() in KEYS_THAT_LEAVE

        yield is_leaving

else:

    @contextmanager
    def keys() -> "Iterator[Callable[[], bool]]":
        """A function that waits for one interval and says whether somebody pressed a key that leaves."""
        import os
        import select
        import termios
        import tty

        descriptor = sys.stdin.fileno() if sys.stdin.isatty() else None
        before = None if descriptor is None else termios.tcgetattr(descriptor)

        def is_leaving() -> bool:
            if descriptor is None:
                time.sleep(INTERVAL_SECONDS)
                return False
            is_ready, _, _ = select.select([descriptor], [], [], INTERVAL_SECONDS)
            if not is_ready:
                return False
            try:
                pressed = os.read(descriptor, 64)
            except OSError:
                pressed = b""
            # Nothing to read although it was ready: the terminal is gone.
            return not pressed or pressed[:1].decode("ascii", "replace") in KEYS_THAT_LEAVE

        try:
            if descriptor is not None:
                tty.setcbreak(descriptor)
            yield is_leaving
        finally:
            if descriptor is not None and before is not None:
                termios.tcsetattr(descriptor, termios.TCSADRAIN, before)
