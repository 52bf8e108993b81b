"""One turn of the model: send the conversation, read the answer, and try again where that is safe.

    result = await take_turn(client, transcript, head, notify)

Nothing of an answer is used before all of it is there, so a turn that fails in the middle has run no tool and can be
sent again as it was. What has been shown of it by then is taken back by a "retry" notice. The SDK's own retries are
off: they stop at the first byte. A cancelled turn closes its connection and leaves the conversation as it was.
"""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass
from itertools import count
from typing import Any

from ml_engineer.agent.client import Client
from ml_engineer.agent.failures import ModelError, diagnose, expected_failures
from ml_engineer.agent.listener import Listener, silent
from ml_engineer.agent.stream import TurnResult
from ml_engineer.agent.transcript import Transcript


@dataclass(frozen=True)
class Patience:
    """How often and how long to wait: `attempts` in all, doubling pauses from `first` to `longest` seconds.

    A pause that the server asks for is kept to, up to `honoured` seconds; beyond that the turn fails, to be resumed
    later by whoever started it, instead of holding everything up.
    """

    attempts: int = 8
    first: float = 0.4
    longest: float = 8.0
    honoured: float = 120.0
    unreachable_attempts: int = 4  # a server that is not there is rather a wrong address than a bad moment

    def pause(self, error: ModelError, attempt: int) -> float | None:
        """Seconds before the next attempt, or None: give up."""
        attempts = min(self.attempts, self.unreachable_attempts) if error.kind == "unreachable" else self.attempts
        if not error.retryable or attempt >= attempts:
            return None
        if error.wait is not None and error.wait > self.honoured:
            return None
        if error.wait:  # a little later than asked, so that agents side by side don't all come back at once
            return error.wait + random.uniform(0.0, min(1.0, error.wait / 10))
        pause: float = min(self.longest, self.first * 2 ** (attempt - 1)) * random.uniform(0.75, 1.0)
        return pause


async def take_turn(
    client: Client,
    transcript: Transcript,
    head: dict[str, Any],
    notify: Listener = silent,
    patience: Patience | None = None,
) -> TurnResult:
    """The model's whole answer to the conversation. Raises ModelError when there is none to be had."""
    patience = patience or Patience()
    failures = expected_failures()
    for attempt in count(1):
        try:
            result = await client.answer(transcript, head, notify)
        except failures as error:
            failure = diagnose(error, client.settings)
            pause = patience.pause(failure, attempt)
            if pause is None:
                raise _given_up(failure, attempt, patience) from error
            notify("retry", reason=str(failure), failure=failure.kind, attempt=attempt, wait=round(pause, 3))
            await asyncio.sleep(pause)
        else:
            result.attempts = attempt
            return result
    raise AssertionError("itertools.count has no end")


def _given_up(failure: ModelError, attempt: int, patience: Patience) -> ModelError:
    note = f" (after {attempt} attempts)" if attempt > 1 else ""
    if failure.retryable and failure.wait is not None and failure.wait > patience.honoured:
        note = f"; the server asks to wait {failure.wait:.0f} s, more than {patience.honoured:.0f} s: try again later"
    return ModelError(failure.kind, f"{failure}{note}", retryable=failure.retryable, status=failure.status)
