"""The terminal's settings, kept so that a command that was killed does not leave the terminal unusable."""

import os
from typing import Any


class Terminal:
    """The controlling terminal as it was when the runner started, if there was one and the runner was in front."""

    def __init__(self) -> None:
        import termios

        self._descriptor: int | None = None
        self._settings: list[Any] = []
        try:
            descriptor = os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY | os.O_CLOEXEC)
        except OSError:
            return
        try:
            if os.tcgetpgrp(descriptor) == os.getpgrp():
                self._settings = termios.tcgetattr(descriptor)
                self._descriptor = descriptor
        except (OSError, termios.error):
            pass
        if self._descriptor is None:
            os.close(descriptor)

    def restore(self) -> None:
        """Give the terminal its settings back, unless somebody else has it now."""
        import termios

        if self._descriptor is None:
            return
        try:
            front = os.tcgetpgrp(self._descriptor)
            if front != os.getpgrp():
                if _is_group_alive(front):
                    return
                # A shell that ran as the command had the terminal for a group of its own, and was killed.
                os.tcsetpgrp(self._descriptor, os.getpgrp())
            termios.tcsetattr(self._descriptor, termios.TCSADRAIN, self._settings)
        except (OSError, termios.error):
            pass


def _is_group_alive(group: int) -> bool:
    try:
        os.killpg(group, 0)
    except ProcessLookupError:
        return False
    except OSError:
        return True
    return True
