"""Sessions that the server has not heard the end of: one small file each, delivered when the server is back.

An entry is *open* while its runner works and *ended* once it has said how that ended. Every file is written at once or
not at all; one that cannot be read is set aside in `bad/`, one that the server refuses for good in `refused/`, both
with a word to the caller. Delivering twice is harmless: each entry carries one idempotency key for all attempts.
"""

import json
import os
import re
import secrets
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, cast

from holdfast.client.api import Api, ApiRefusal, Json, Unreachable
from holdfast.client.files import lock, make_private_directory, write_atomically
from holdfast.client.processes import ProcessIdentity, identify, is_running

ENTRIES_MAX = 1_000
"""Undelivered sessions of one user on one machine; more means that nobody has looked for weeks."""

ENTRY_BYTES_MAX = 256 * 1024
"""One entry; what a runner writes is far smaller."""

ASIDE_MAX = 100
"""Files kept in `bad` and in `refused`, each; the oldest go first."""

FOREIGN_SILENCE_SECONDS = 3_600.0
"""A runner in another container or on another machine counts as gone when it left its entry untouched so long."""

GONE_KEPT_SECONDS = 60.0
"""How long an entry is left to the machine's agent whose runner is gone, and whose session the server has."""

RUNNER_GONE = "killed: the process that ran it is gone"
"""The reason with which a session is failed whose runner could not say any more how it ended."""

REPORT_PATH = "/v1/sessions/report"
ENTRY_VERSION = 1

_NAME = re.compile(r"[A-Za-z0-9_-]{1,100}")
_PASSING_STATUSES = frozenset({401, 403, 408, 425, 429})
"""Refusals that say something about the key or the pace, and so hold for every entry."""

_ROUTE_MISSING_STATUSES = frozenset({404, 405, 501})
"""What a server says that knows no reports; to a call about one session, 404 says that it is deleted."""


class Call(NamedTuple):
    """A request that would tell the server the end of a session that it knows."""

    path: str
    body: dict[str, Json]


@dataclass(frozen=True)
class End:
    """How a session ended. ended_at: RFC 3339. call: how to tell a server that has the session; None: report it."""

    ended_at: str
    end_reason: str
    exit_code: int | None
    call: Call | None


@dataclass(frozen=True)
class Entry:
    """One session of one runner.

    report: the body of a report, without its end. session_id: None until the server has acknowledged the start, and
    with it the token that whoever tells the session's end has to show.
    idempotency_key: of the report, or of the call that ends the session.
    """

    client_session_id: str
    url: str
    idempotency_key: str
    runner: ProcessIdentity
    report: dict[str, Json]
    session_id: str | None = None
    end: End | None = None
    fencing_token: int | None = None


class Delivery(NamedTuple):
    """What a delivery did. kept: entries that stay for a later one, those of running sessions not counted."""

    delivered: int
    refused: int
    kept: int


class SpoolFull(Exception):
    """There are already ENTRIES_MAX entries; none is dropped for a new one."""


class Spool:
    """The entries in one directory, `<data directory>/spool`."""

    def __init__(self, directory: Path, *, tell: Callable[[str], None]) -> None:
        """tell: says a line to the user, about a file that was set aside."""
        self._directory = directory
        self._tell = tell

    def open(self, entry: Entry) -> None:
        """Make a new entry durable.

        Raises: SpoolFull; OSError.
        """
        make_private_directory(self._directory)
        if sum(1 for _ in self._paths()) >= ENTRIES_MAX:
            raise SpoolFull(f"{ENTRIES_MAX} sessions are waiting in {self._directory}")
        self.replace(entry)

    def replace(self, entry: Entry) -> None:
        """Make the new state of an entry durable.

        Raises: OSError; the old state is then still there.
        """
        document = {"version": ENTRY_VERSION, **asdict(entry)}
        document["runner"] = entry.runner._asdict()
        if entry.end is not None and entry.end.call is not None:
            document["end"]["call"] = entry.end.call._asdict()
        write_atomically(self._path(entry.client_session_id), json.dumps(document).encode() + b"\n")

    def touch(self, client_session_id: str) -> None:
        """Say that the session's runner is alive now; nothing where there is no entry."""
        try:
            os.utime(self._path(client_session_id))
        except OSError:
            pass

    def remove(self, client_session_id: str) -> None:
        """Forget an entry whose end the server knows."""
        self._path(client_session_id).unlink(missing_ok=True)

    def names(self) -> set[str]:
        """The client session ids of all entries."""
        return {path.stem for path in self._paths()}

    def read(self, client_session_id: str) -> Entry | None:
        """An entry; None: it is gone, or it was not one and has been set aside."""
        return self._read(self._path(client_session_id))

    def deliver(self, api: Api, *, tells_of_gone: bool = False) -> Delivery:
        """Tell this server of its sessions that have ended or whose runner is gone; each is forgotten when accepted.

        tells_of_gone: also of those that the server has and whose runner is gone, before their lease is over: what the
        machine's agent does. Others leave them to it, and then to the server.
        Ends at the first sign that the server cannot take them now. Another process that delivers at the same time
        is left to do so.
        """
        if not any(self._paths()):
            return Delivery(0, 0, 0)
        with lock(self._directory / ".deliver.lock", wait_seconds=0) as is_locked:
            if not is_locked:
                return Delivery(0, 0, 0)
            return self._deliver_all(api, tells_of_gone=tells_of_gone)

    def deliver_one(self, api: Api, entry: Entry, *, timeout_seconds: float) -> bool:
        """Tell the server of one session that has ended; whether it accepted. Otherwise the entry stays."""
        path = self._path(entry.client_session_id)
        try:
            _send(api, entry, timeout_seconds=timeout_seconds)
        except Unreachable:
            return False
        except ApiRefusal as refusal:
            if refusal.status not in _PASSING_STATUSES and not _may_be_accepted_later(refusal, entry):
                self._set_aside(path, "refused", f"the server refuses it: {refusal.code}")
            return False
        path.unlink(missing_ok=True)
        return True

    def keeps(self, client_session_id: str) -> bool:
        """Whether a session is still to be told of."""
        return self._path(client_session_id).exists()

    def _deliver_all(self, api: Api, *, tells_of_gone: bool) -> Delivery:
        delivered = refused = kept = 0
        is_answering = True
        for path in sorted(self._paths()):
            entry = self._read(path)
            if entry is None or entry.url != api.url:
                continue
            finished = _finished(entry, touched_at=_touched_at(path))
            if finished is None:
                continue
            if _is_of_known_session(entry) and not (tells_of_gone and finished.end is not None):
                # The server gave this session a lease, and sees for itself that it lapses.
                _unlink_old(path)
            elif not is_answering:
                kept += 1
            else:
                try:
                    _send(api, finished, timeout_seconds=None)
                except Unreachable:
                    is_answering = False
                    kept += 1
                except ApiRefusal as refusal:
                    is_answering = refusal.status not in _PASSING_STATUSES
                    if not is_answering or _may_be_accepted_later(refusal, finished):
                        kept += 1
                    elif _is_of_known_session(entry):
                        # Nobody asked for this to be told, and the server knows better what became of the session.
                        path.unlink(missing_ok=True)
                    else:
                        refused += 1
                        self._set_aside(path, "refused", f"the server refuses it: {refusal.code}")
                else:
                    delivered += 1
                    path.unlink(missing_ok=True)
        return Delivery(delivered, refused, kept)

    def _read(self, path: Path) -> Entry | None:
        """The entry in a file; None: it is gone, or it was not one and has been set aside."""
        try:
            with path.open("rb") as file:
                content = file.read(ENTRY_BYTES_MAX + 1)
            if len(content) > ENTRY_BYTES_MAX:
                raise ValueError("too large")
            entry = _decode(json.loads(content))
            if entry.client_session_id != path.stem:
                raise ValueError("under another session's name")
        except FileNotFoundError:
            return None
        except OSError:
            self._tell(f"cannot read {path}")
            return None
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            self._set_aside(path, "bad", "it is torn, or not a session of Holdfast")
            return None
        return entry

    def _set_aside(self, path: Path, name: str, reason: str) -> None:
        place = self._directory / name
        try:
            make_private_directory(place)
            path.replace(place / f"{path.stem}.{secrets.token_hex(4)}.json")
            aside = sorted(place.iterdir(), key=_touched_at)
            for old in aside[: max(0, len(aside) - ASIDE_MAX)]:
                old.unlink(missing_ok=True)
        except OSError:
            return
        self._tell(f"moved the spooled session {path.name} to {place}: {reason}")

    def _paths(self) -> Iterator[Path]:
        return (path for path in self._directory.glob("*.json") if not path.name.startswith("."))

    def _path(self, client_session_id: str) -> Path:
        assert _NAME.fullmatch(client_session_id)
        return self._directory / f"{client_session_id}.json"


def this_process() -> ProcessIdentity:
    """The identity under which this process opens entries."""
    return identify(os.getpid()) or ProcessIdentity(os.getpid(), "", "")


def timestamp(seconds: float) -> str:
    """RFC 3339 in UTC with milliseconds, from seconds since the epoch."""
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _finished(entry: Entry, *, touched_at: float) -> Entry | None:
    """The entry as it is to be told: as it ended, or as crashed when its runner is gone; None: it still runs.

    Without an end: the server has the session, and what became of its runner cannot be seen from here.
    """
    if entry.end is not None:
        return entry
    running = is_running(entry.runner)
    if running or (running is None and datetime.now(UTC).timestamp() - touched_at < FOREIGN_SILENCE_SECONDS):
        return None
    if entry.session_id is None:
        return replace(entry, end=End(timestamp(touched_at), "crashed", None, None))
    if running is None:
        return entry
    body: dict[str, Json] = {"reason": RUNNER_GONE, "error_details": {"pid": entry.runner.pid}}
    if entry.fencing_token is not None:
        body["fencing_token"] = entry.fencing_token
    return replace(entry, end=End(timestamp(touched_at), "crashed", None, Call(_fail_path(entry.session_id), body)))


def _fail_path(session_id: str) -> str:
    return f"/v1/sessions/{session_id}/fail"


def _is_of_known_session(entry: Entry) -> bool:
    """Whether the server has a session of which nobody said how it ended."""
    return entry.end is None and entry.session_id is not None


def _unlink_old(path: Path) -> None:
    """Forget an entry that the machine's agent, if there is one, has left alone for long enough."""
    if time.time() - _touched_at(path) >= GONE_KEPT_SECONDS:
        path.unlink(missing_ok=True)


def _may_be_accepted_later(refusal: ApiRefusal, entry: Entry) -> bool:
    is_report = entry.end is not None and entry.end.call is None
    return refusal.status >= 500 or (is_report and refusal.status in _ROUTE_MISSING_STATUSES)


def _send(api: Api, entry: Entry, *, timeout_seconds: float | None) -> None:
    assert entry.end is not None
    call = entry.end.call or Call(REPORT_PATH, report_body(entry.report, entry.end))
    api.request(
        "POST", call.path, body=call.body, idempotency_key=entry.idempotency_key, timeout_seconds=timeout_seconds
    )


def report_body(report: dict[str, Json], end: End) -> dict[str, Json]:
    """The body of a report of a session that has ended."""
    told: dict[str, Json] = {"ended_at": end.ended_at, "end_reason": end.end_reason}
    if end.exit_code is not None:
        told["exit_code"] = end.exit_code
    return {**report, **told}


def _touched_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _decode(document: object) -> Entry:
    """The entry in a decoded file.

    Raises: ValueError, KeyError, TypeError, AttributeError.
    """
    fields = cast("dict[str, Json]", document)
    if fields["version"] != ENTRY_VERSION:
        raise ValueError("another version")
    runner = cast("dict[str, Json]", fields["runner"])
    session_id, end, report = fields["session_id"], fields["end"], fields["report"]
    token = fields.get("fencing_token")
    if not isinstance(report, dict) or not isinstance(session_id, str | None) or not isinstance(token, int | None):
        raise TypeError("report, session_id or fencing_token")
    return Entry(
        client_session_id=_text(fields["client_session_id"]),
        url=_text(fields["url"]),
        idempotency_key=_text(fields["idempotency_key"]),
        runner=ProcessIdentity(int(cast("int", runner["pid"])), _text(runner["started"]), _text(runner["place"])),
        report=report,
        session_id=session_id,
        end=None if end is None else _decode_end(cast("dict[str, Json]", end)),
        fencing_token=token,
    )


def _decode_end(fields: dict[str, Json]) -> End:
    exit_code, call = fields["exit_code"], fields["call"]
    if not isinstance(exit_code, int | None) or not isinstance(call, dict | None):
        raise TypeError("exit_code or call")
    decoded = None
    if call is not None:
        body = call["body"]
        if not isinstance(body, dict):
            raise TypeError("call")
        decoded = Call(_text(call["path"]), body)
    return End(_text(fields["ended_at"]), _text(fields["end_reason"]), exit_code, decoded)


def _text(value: Json) -> str:
    if not isinstance(value, str):
        raise TypeError("not a text")
    return value
