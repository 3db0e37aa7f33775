"""What systemd, or whoever else speaks its protocol, is told of a server: that it is ready, well, and stopping."""

import logging
import socket
from collections.abc import Mapping

log = logging.getLogger(__name__)

ADDRESS_VARIABLE = "NOTIFY_SOCKET"

READY = "READY=1"
STOPPING = "STOPPING=1"
WELL = "WATCHDOG=1"


class Supervisor:
    """Whoever started this process and wants to hear of it; nobody, where the environment names no socket.

    Source: sd_notify(3). Watching is asked for by WatchdogSec in the unit; without it what is told is not heeded.
    """

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._address = environ.get(ADDRESS_VARIABLE, "")

    def tell(self, state: str) -> None:
        """Say one thing. That nobody hears it is noted and changes nothing: the server is not there for this."""
        if not self._address:
            return
        # A leading @ stands for the abstract namespace, which has no file.
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        try:
            with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
                sock.setblocking(False)
                sock.sendto(state.encode(), address)
        except OSError as exc:
            log.warning("supervisor_not_told state=%s error=%s", state, exc.strerror)
