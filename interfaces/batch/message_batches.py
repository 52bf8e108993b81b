"""The Message Batches API of a server, as far as a batch of repositories needs it.

    api = MessageBatches(client)
    identifier = await api.create(body)         once; who does not hear what came of it looks for it in `recent`
    if await api.has_ended(identifier): results = await api.results(identifier)

Reads are tried again where that helps. All raise ModelError, also where the server speaks in another form.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import json
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass, field
from itertools import count
from typing import Any

from ml_engineer.agent.client import Client
from ml_engineer.agent.failures import ModelError, diagnose, expected_failures
from ml_engineer.agent.turn import Patience

PATH = "/v1/messages/batches"
PAGE = 100  # batches that are listed at once

Result = dict[str, Any]


@dataclass(frozen=True)
class Listed:
    """A batch at the server. `calls`: how many it has."""

    identifier: str
    calls: int
    has_ended: bool


@dataclass(frozen=True)
class MessageBatches:
    """See the module."""

    client: Client
    patience: Patience = field(default_factory=Patience)

    async def check(self) -> None:
        """Nothing, where the server has message batches."""
        await self._read(f"{PATH}?limit=1", object)

    async def create(self, body: bytes) -> str:
        """The id of a new batch. ModelError without a status, or with one from 500: there may be one."""
        sdk, options = self.client.sdk, self.client.options
        try:
            made: Any = await sdk.post(PATH, content=body, options=options, cast_to=object)
        except expected_failures() as error:
            raise diagnose(error, self.client.settings) from error
        with self._understood():
            return str(made["id"])

    async def has_ended(self, identifier: str) -> bool:
        seen = await self._read(f"{PATH}/{identifier}", object)
        with self._understood():
            return bool(seen["processing_status"] == "ended")

    async def results(self, identifier: str) -> dict[str, Result]:
        """What came of the calls of a batch that has ended, by their custom id."""
        text = await self._read(f"{PATH}/{identifier}/results", str)
        with self._understood():
            return _results(text)

    async def recent(self, since: float) -> AsyncIterator[Listed]:
        """The batches that were created since then (seconds since 1970), newest first, whoever has created them."""
        after = ""
        while True:
            page = await self._read(f"{PATH}?limit={PAGE}{after}", object)
            with self._understood():
                found = [(one["created_at"], _listed(one)) for one in page["data"]]
                times = [datetime.datetime.fromisoformat(moment).timestamp() for moment, _ in found]
                more = bool(page["has_more"]) and bool(found) and times[-1] >= since
            for moment, (_, one) in zip(times, found, strict=True):
                if moment >= since:
                    yield one
            if not more:
                return
            after = f"&after_id={found[-1][1].identifier}"

    async def _read(self, path: str, form: type) -> Any:
        failures = expected_failures()
        for attempt in count(1):
            try:
                return await self.client.sdk.get(path, cast_to=form)
            except failures as error:
                failure = diagnose(error, self.client.settings)
                pause = self.patience.pause(failure, attempt)
                if pause is None:
                    raise failure from error
            await asyncio.sleep(pause)
        raise AssertionError("itertools.count has no end")

    @contextlib.contextmanager
    def _understood(self) -> Iterator[None]:
        """Around what takes an answer apart: one of another form is a ModelError."""
        try:
            yield
        except (KeyError, TypeError, ValueError) as error:
            place = self.client.settings.place
            raise ModelError(
                "broken answer", f"{place} speaks of message batches in another form: {error!r}"
            ) from error


def _listed(one: dict[str, Any]) -> Listed:
    return Listed(str(one["id"]), sum(one["request_counts"].values()), one["processing_status"] == "ended")


def _results(text: str) -> dict[str, Result]:
    """Results by key, from lines of JSON in any order. KeyError, TypeError or ValueError: they are none."""
    found: dict[str, Result] = {}
    for line in text.splitlines():
        if line.strip():
            entry = json.loads(line)
            result = entry["result"]
            found[entry["custom_id"]] = {"type": str(result["type"]), **result}
            if result["type"] == "succeeded" and not isinstance(result["message"], dict):
                raise TypeError("a message that is no object")
    return found
