"""Wiring for commands that are decided in the process that asks: a file of a workspace, no server, no threads."""

import os
from typing import TYPE_CHECKING, NamedTuple

import apsw

from holdfast.commands.command import Command, Envelope
from holdfast.domain.actor import Actor, KeyScope
from holdfast.domain.ids import DEFAULT_ACCOUNT, ENTROPY_BYTES, KeyId, Mint
from holdfast.engine.batch import run_batch
from holdfast.store.embedded import EmbeddedStore
from holdfast.store.port import CommitUnknown, SchemaMismatch, StoreFull, StoreInUse, StoreUnavailable

if TYPE_CHECKING:
    from holdfast.engine.batch import Outcome

OWNER = Actor(DEFAULT_ACCOUNT, KeyId("key_workspace"), KeyScope.OPERATOR)
"""Whoever may write the file may do everything in it."""

CORRELATION_ID = "workspace"


class Embedded:
    """A workspace's own database. Raises: as `EmbeddedStore`, which see for `creates`."""

    actor = OWNER

    def __init__(self, path: str, *, creates: bool) -> None:
        self.rows = EmbeddedStore(path, creates=creates)

    def run(self, command: Command) -> "Outcome":
        """Decide a command, in one transaction. What is answered is durable. Raises: CommitUnknown."""
        envelope = Envelope(command, OWNER, os.urandom(ENTROPY_BYTES), CORRELATION_ID)
        return run_batch(self.rows, [envelope], mint=Mint())[0]

    def close(self) -> None:
        """Let go of the file."""
        self.rows.close()


class Failure(NamedTuple):
    """Why a workspace's database could not be used.

    is_passing: the same may work in a moment. is_broken: the file is no database, or not a whole one.
    """

    code: str
    text: str
    is_passing: bool = False
    is_broken: bool = False


def failure_of(error: Exception) -> Failure | None:
    """What an error of the store means; None: it is none of the store's."""
    if isinstance(error, StoreUnavailable | apsw.BusyError):
        return Failure("busy", "the workspace's database is busy; nothing was written", is_passing=True)
    if isinstance(error, CommitUnknown):
        return Failure("outcome_unknown", "the disk did not say whether it wrote this; look with `show`")
    if isinstance(error, apsw.Error):
        is_broken = isinstance(error, apsw.NotADBError | apsw.CorruptError)
        return Failure("database_unusable", f"the workspace's database cannot be used: {error}", is_broken=is_broken)
    if isinstance(error, SchemaMismatch | StoreFull | StoreInUse):
        return Failure("database_unusable", str(error))
    return None
