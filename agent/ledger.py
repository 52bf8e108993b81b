"""The ledger of effects: what is about to be done, and what has been done, so that a resumed run repeats nothing.

    result = await ledger.once("step-05/12/0", {"tool": "Bash", …}, act, settle)

The intent is on the disk before the act begins, the result before anybody hears of it. When a run is killed in between,
`settle` finds out what became of it, from the files or from git; where that cannot be known, the caller is told.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from pathlib import Path

from ml_engineer.agent.log import Log, LogError, Record, encode


class OutcomeUnknown(Exception):
    """The run was killed while this effect was under way, and what became of it cannot be found out."""


class NotBegun(Exception):
    """Raised by `settle`: the effect has certainly not happened, so it may be done now."""


Settle = Callable[[Record], Awaitable[Record | None]]


class Ledger:
    """The effects of one run, by key. A key names the place in the work, so that a replay comes to the same one."""

    def __init__(self, path: Path | None = None) -> None:
        self._log = Log(path)
        self._intents: dict[str, Record] = {}
        self._done: dict[str, Record] = {}
        for number, record in enumerate(self._log.load(), 1):
            match record:
                case {"effect": str(key), "intent": dict(intent)}:
                    self._intents[key] = intent
                case {"effect": str(key), "done": dict(result)}:
                    self._done[key] = result
                case _:
                    raise LogError(f"{path} has a record of an unknown form in line {number}; start a new run")

    def result(self, key: str) -> Record | None:
        """What the effect gave, if it is done."""
        return self._done.get(key)

    def begun(self, key: str) -> bool:
        """Whether the effect was begun: done, or interrupted."""
        return key in self._intents

    async def once(
        self, key: str, intent: Record, act: Callable[[], Awaitable[Record]], settle: Settle | None = None
    ) -> Record:
        """Do this effect, or give what it gave before.

        `settle(intent)` gives the result of an effect that was interrupted, or None when that cannot be known (then
        OutcomeUnknown is raised, now and on every later call), or raises NotBegun.
        """
        if key in self._done:
            return self._done[key]
        if key in self._intents:
            try:
                settled = await settle(self._intents[key]) if settle else None
            except NotBegun:
                pass
            else:
                if settled is None:
                    raise OutcomeUnknown(key)
                return await self._finish(key, settled)
        else:
            self._log.append(encode({"effect": key, "intent": intent}))
            self._intents[key] = intent
            await self._log.synced()
        return await self._finish(key, await act())

    async def _finish(self, key: str, result: Record) -> Record:
        self._log.append(encode({"effect": key, "done": result}))
        self._done[key] = result
        await self._log.synced()
        return result

    def close(self) -> None:
        self._log.close()
