"""What a node does on the side for keys and accounts: share and record their use, and erase accounts bit by bit.

A task of the event loop. Every step is a command or a question like any other, so a node that stops in the middle
leaves nothing half done: whichever runs next goes on.
"""

import asyncio
import logging
from typing import Final

from holdfast.commands.accounts import EraseRows, FinishErasure
from holdfast.commands.keys import RecordKeyUse, ShareKeyUsage
from holdfast.domain.errors import Refusal
from holdfast.domain.ids import AccountId
from holdfast.engine import administration
from holdfast.engine.core import Core
from holdfast.engine.sweeper import SWEEPER

log = logging.getLogger(__name__)

PASS_SECONDS: Final = 1.0
"""How often usage is shared: for so long, two nodes may each grant what only one of them should have."""

RECORD_USE_PASSES: Final = 60
"""Passes from one record of last uses to the next."""

CHUNK: Final = 256
"""Rows in one command: a few milliseconds of the writer, so that beats do not wait behind it."""

ERASED_PIECES_MAX: Final = 50
"""Pieces of an account erased in one pass; the next pass goes on."""


class Upkeep:
    """The task, from `start` until `stop`."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin, on the running event loop."""
        self._task = asyncio.get_running_loop().create_task(self._serve())

    def stop(self) -> None:
        """Stop; a command that is under way is carried out all the same."""
        if self._task is not None:
            self._task.cancel()

    async def _serve(self) -> None:
        passes = 0
        while True:
            await asyncio.sleep(PASS_SECONDS)
            passes += 1
            try:
                await self.share_usage()
                await self.erase()
                if passes % RECORD_USE_PASSES == 0:
                    await self.record_use()
            except Refusal as refusal:
                log.warning("upkeep_postponed reason=%s", refusal.code)
            except Exception:
                # Keys work without it, if less exactly; the next pass may fare better.
                log.exception("upkeep_failed")

    async def share_usage(self) -> None:
        """Tell the other nodes what keys used here, and hear what they used elsewhere. Raises: Refusal."""
        counted = self._core.limiter.untold()
        for start in range(0, len(counted), CHUNK):
            chunk = tuple(counted[start : start + CHUNK])
            command = ShareKeyUsage(chunk)
            reply = await self._core.execute(command, SWEEPER, correlation_id="upkeep", weight=len(chunk))
            self._core.limiter.hear(chunk, reply.body["totals"])

    async def record_use(self) -> None:
        """Note when keys were last used. Raises: Refusal; what was not noted is, the next time the key is looked up."""
        uses = self._core.take_key_uses()
        for start in range(0, len(uses), CHUNK):
            chunk = tuple(uses[start : start + CHUNK])
            await self._core.execute(RecordKeyUse(chunk), SWEEPER, correlation_id="upkeep", weight=len(chunk))

    async def erase(self) -> None:
        """Go on with the erasure of accounts. Raises: Refusal."""
        for account_id in await self._core.read(administration.erasing):
            if await self._is_empty(account_id):
                await self._core.execute(FinishErasure(account_id), SWEEPER, correlation_id="upkeep")

    async def _is_empty(self, account_id: AccountId) -> bool:
        """Whether a pass over all tables found nothing to erase; what it finds, it erases."""
        pieces = erased = 0
        for table in administration.tables_to_erase():
            after = None
            while True:
                found = await self._core.read(administration.piece, account_id, table, after)
                keys = administration.to_erase(found)
                if keys:
                    command = EraseRows(account_id, keys)
                    await self._core.execute(command, SWEEPER, correlation_id="upkeep", weight=len(keys))
                    erased += len(keys)
                    pieces += 1
                after = found.next_after
                if after is None:
                    break
                if pieces >= ERASED_PIECES_MAX:
                    return False
        return not erased
