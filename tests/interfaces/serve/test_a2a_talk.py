"""The questions of a task: one at a time, in order with what is said, and a no when nobody answers."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from a2a.helpers import new_data_part, new_text_part
from a2a.types import Message, Role, TaskState

from ml_engineer.interfaces.serve.a2a_executor import MAX_AT_WORK, Executor
from ml_engineer.interfaces.serve.a2a_talk import Talk, verdict
from ml_engineer.interfaces.serve.common import Roots


class Updater:
    """Notes the states of a task, where the real one puts them into its queue."""

    def __init__(self) -> None:
        self.told: list[tuple[str, str]] = []

    def new_agent_message(self, parts: list[Any]) -> Message:
        return Message(parts=parts)

    async def start_work(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.told.append(("working", message.parts[0].text))

    async def requires_input(self, message: Message) -> None:
        await asyncio.sleep(0)
        self.told.append(("input-required", message.parts[0].text.partition("\n")[0]))


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ([new_text_part("Yes!")], True),
        ([new_text_part(" approve ")], True),
        ([new_text_part("no.")], False),
        ([new_data_part({"approved": True})], True),
        ([new_data_part({"approved": False}), new_text_part("yes")], False),
        ([new_data_part({"approved": 1})], None),
        ([new_text_part("yes, but not today")], None),
        ([new_text_part("")], None),
    ],
)
def test_only_a_plain_yes_is_a_yes(parts: list[Any], said: bool | None) -> None:
    assert verdict(Message(parts=parts)) is said


def test_a_question_that_nobody_answers_is_a_no() -> None:
    async def session() -> tuple[bool, Updater]:
        updater = Updater()
        return await Talk(updater, patience=0.05).ask("Carry out this plan?"), updater  # type: ignore[arg-type] # duck

    answer, updater = asyncio.run(session())
    assert answer is False
    assert [state for state, _ in updater.told] == ["input-required", "working"]
    assert "taken as a no" in updater.told[-1][1]


def test_what_is_said_meanwhile_does_not_take_the_question_back() -> None:
    async def session() -> list[tuple[str, str]]:
        updater = Updater()
        talk = Talk(updater)  # type: ignore[arg-type] # duck
        first, second = (asyncio.ensure_future(talk.ask(question)) for question in ("First?", "Second?"))
        said = asyncio.ensure_future(talk.say("A step is done."))
        await talk.pause()
        assert updater.told == [("input-required", "First?")]
        await talk.reply(Message(parts=[new_text_part("yes")]), updater)  # type: ignore[arg-type] # duck
        await talk.pause()
        await talk.reply(Message(parts=[new_text_part("no")]), updater)  # type: ignore[arg-type] # duck
        await said
        assert (await first, await second) == (True, False)
        return updater.told

    assert asyncio.run(session()) == [
        ("input-required", "First?"),
        ("working", "Goes on."),
        ("input-required", "Second?"),
        ("working", "It is not done."),
        ("working", "A step is done."),
    ]


def test_words_are_any_message_and_none_when_nobody_says_anything() -> None:
    async def session() -> tuple[Message | None, Message | None, Updater]:
        updater = Updater()
        talk = Talk(updater, patience=0.05)  # type: ignore[arg-type] # duck
        silence = await talk.words("What?")
        talk.patience = 60
        asked = asyncio.ensure_future(talk.words("What?"))
        await talk.pause()
        await asyncio.sleep(0)
        await talk.reply(Message(parts=[new_text_part("no")]), updater)  # type: ignore[arg-type] # duck
        return silence, await asked, updater

    silence, said, updater = asyncio.run(session())
    assert silence is None
    assert said == Message(parts=[new_text_part("no")])
    assert updater.told[-1] == ("working", "Goes on.")


def test_work_that_is_cancelled_before_it_begins_has_ended_too() -> None:
    async def session() -> list[str]:
        ended: list[str] = []
        talk = Talk(Updater())  # type: ignore[arg-type] # duck
        talk.begin(asyncio.sleep(60), lambda: ended.append("ended"))
        await talk.cancel()
        await talk.pause()
        return ended

    assert asyncio.run(session()) == ["ended"]


class Events:
    """The states that the tasks of a server have had."""

    def __init__(self) -> None:
        self.states: list[str] = []

    async def enqueue_event(self, event: Any) -> None:
        self.states.append(TaskState.Name(event.status.state).removeprefix("TASK_STATE_").lower())


def test_tasks_that_wait_for_their_client_count_among_those_at_work(tmp_path: Path) -> None:
    async def session() -> list[str]:
        service, events = SimpleNamespace(roots=Roots((tmp_path,))), Events()
        executor = Executor(service)  # type: ignore[arg-type] # duck
        for number in range(MAX_AT_WORK + 1):
            message = Message(message_id=f"{number}", role=Role.ROLE_USER, parts=[new_text_part("Good morning")])
            context = SimpleNamespace(message=message, task_id=f"{number}", context_id="c", current_task=None)
            await executor.execute(context, events)  # type: ignore[arg-type] # duck
        await executor.close()
        return events.states

    assert asyncio.run(session()) == ["submitted", "input_required"] * MAX_AT_WORK + ["submitted", "rejected"]
