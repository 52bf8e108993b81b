"""The loop of one agent: what it does with each kind of answer, and what the conversation looks like afterwards."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.agent.budget import Budget, Caps
from ml_engineer.agent.calls import Call, Outcome
from ml_engineer.agent.ending import Ending, Why
from ml_engineer.agent.ledger import Ledger
from ml_engineer.agent.toolloop import ToolLoop
from ml_engineer.agent.transcript import Transcript
from tests.support.agents import QUICK, CountingTools, Heard, client_for
from tests.support.messages_server import MessagesServer
from tests.support.script import call, text

Serve = Callable[..., MessagesServer]


def work(url: str, tools: CountingTools | None = None, transcript: Transcript | None = None, **options: Any) -> Ending:
    async def go() -> Ending:
        client = client_for(url)
        try:
            loop = ToolLoop(client, transcript or Transcript(), tools or CountingTools(), patience=QUICK, **options)
            return await loop.run("the brief")
        finally:
            await client.close()

    return asyncio.run(go())


def results(transcript: Transcript, at: int) -> list[Any]:
    return [block["content"] for block in transcript.messages[at]["content"] if block["type"] == "tool_result"]


def test_calls_are_run_and_answered_until_the_model_has_nothing_more_to_do(serve: Serve) -> None:
    server = serve([[text("I look."), call("Look", what="a")], [call("Change", what="x")], [text("Done.")]])
    tools, transcript = CountingTools(), Transcript()
    assert work(server.url, tools, transcript) == Ending(Why.ANSWERED, "Done.")
    assert (tools.looked, tools.done) == (1, ["x"])
    assert [message["role"] for message in transcript.messages] == ["user", "assistant"] * 3
    assert (results(transcript, 2), results(transcript, 4)) == (["seen"], ["changed x"])


def test_a_finishing_tool_ends_the_work_and_its_data_is_the_product(serve: Serve) -> None:
    server = serve([[call("Finish", summary="fine")]])
    transcript = Transcript()
    assert work(server.url, transcript=transcript) == Ending(Why.FINISHED, "accepted", {"record": {"summary": "fine"}})
    assert results(transcript, 2) == ["accepted"]


def test_readers_run_side_by_side_and_writers_one_after_the_other_in_the_order_of_the_calls(serve: Serve) -> None:
    class Slow(CountingTools):
        log: list[str] = []

        async def run(self, call: Call) -> Outcome:
            self.log.append(f"start {call.input['what']}")
            await asyncio.sleep(0.01)
            self.log.append(f"end {call.input['what']}")
            return Outcome(call.input["what"])

    answer = [call("Look", what="a"), call("Look", what="b"), call("Change", what="c"), call("Change", what="d")]
    server = serve([[*answer, call("Look", what="e")], [text("Done.")]])
    tools, transcript = Slow(), Transcript()
    work(server.url, tools, transcript)
    writers_and_last = [f"{edge} {what}" for what in "cde" for edge in ("start", "end")]
    assert tools.log == ["start a", "start b", "end a", "end b", *writers_and_last]
    assert results(transcript, 2) == list("abcde")


def test_input_that_is_no_json_is_answered_with_what_came(serve: Serve) -> None:
    server = serve([[{"call": "Change", "raw": '{"what": "x'}], [text("Done.")]])
    tools, transcript = CountingTools(), Transcript()
    work(server.url, tools, transcript)
    assert tools.done == []
    assert 'no JSON object, so it was not run. What came: {"what": "x' in results(transcript, 2)[0]
    assert transcript.messages[2]["content"][0]["is_error"]


def test_a_defect_in_a_tool_is_told_and_does_not_end_the_run(serve: Serve) -> None:
    server = serve([[call("Broken")], [text("Done.")]])
    heard, transcript = Heard(), Transcript()
    assert work(server.url, transcript=transcript, notify=heard).why is Why.ANSWERED
    assert "Broken failed inside (ZeroDivisionError: a defect)" in results(transcript, 2)[0]
    assert heard.of("tool_end")[0]["data"] == {"defect": "ZeroDivisionError: a defect"}


def test_a_refused_call_is_not_run_and_the_model_hears_why(serve: Serve) -> None:
    class Closed:
        async def refuses(self, call: Call) -> str | None:
            return "not in review" if call.name == "Change" else None

    server = serve([[call("Change", what="x"), call("Look", what="a")], [text("Done.")]])
    tools, transcript = CountingTools(), Transcript()
    work(server.url, tools, transcript, gate=Closed())
    assert (tools.done, tools.looked) == ([], 1)
    assert results(transcript, 2) == ["not in review", "seen"]


def test_the_same_call_with_the_same_result_is_noticed_and_then_stopped(serve: Serve) -> None:
    server = serve([[call("Look", what="a")]] * 10)
    heard = Heard()
    ending = work(server.url, notify=heard)
    assert ending.why is Why.STUCK
    assert "Look was called 6 times" in ending.text
    assert heard.of("nudge")[0]["text"].startswith("[Look has now given the same result to the same call 3 times.")
    assert len(heard.of("nudge")) == 3
    assert len(server.requests) == 6


def test_looking_again_after_a_new_change_is_no_circle(serve: Serve) -> None:
    turns = [[call("Change", what=str(n)), call("Look", what="tests")] for n in range(8)]
    heard = Heard()
    assert work(serve([*turns, [text("Done.")]]).url, notify=heard).why is Why.ANSWERED
    assert heard.of("nudge") == []


def test_an_answer_cut_at_its_limit_runs_no_call(serve: Serve) -> None:
    cut = {"blocks": [text("I change"), {"call": "Change", "raw": '{"what": "x'}], "stop_reason": "max_tokens"}
    tools, transcript = CountingTools(), Transcript()
    assert work(serve([cut, [text("Done.")]]).url, tools, transcript).why is Why.ANSWERED
    assert tools.done == []
    assert "cut off at its size limit" in results(transcript, 2)[0]


def test_a_model_that_is_always_cut_off_is_given_up(serve: Serve) -> None:
    server = serve([{"blocks": [call("Change", what="x")], "stop_reason": "max_tokens"}] * 9)
    assert work(server.url).why is Why.STUCK
    assert len(server.requests) == 4


def test_an_empty_answer_is_asked_about(serve: Serve) -> None:
    server = serve([lambda request: [text("Done.")] if len(request["messages"]) > 1 else []])
    transcript = Transcript()
    assert work(server.url, transcript=transcript).text == "Done."
    assert transcript.messages[1] == {"role": "user", "content": "The answer was empty. Go on with the work."}


def test_a_model_that_must_finish_is_reminded(serve: Serve) -> None:
    server = serve([[text("I think I am done.")], [call("Finish")]])
    transcript = Transcript()
    assert work(server.url, transcript=transcript, finisher="Finish").why is Why.FINISHED
    assert "not over before the tool Finish is called" in transcript.messages[2]["content"]


def test_a_model_that_will_not_finish_is_given_up(serve: Serve) -> None:
    server = serve([[text("I am done.")]] * 9)
    assert work(server.url, finisher="Finish").why is Why.STUCK
    assert len(server.requests) == 4


def test_a_pause_is_answered_with_the_same_conversation(serve: Serve) -> None:
    server = serve([{"blocks": [text("wait")], "stop_reason": "pause_turn"}, [text("Done.")]])
    assert work(server.url).text == "Done."
    assert [one["role"] for one in server.requests[1].body["messages"]] == ["user", "assistant"]


def test_a_refusal_ends_the_work_and_half_an_answer_is_not_kept(serve: Serve) -> None:
    server = serve([{"blocks": [text("I would")], "stop_reason": "refusal"}])
    transcript = Transcript()
    assert work(server.url, transcript=transcript).why is Why.REFUSED
    assert len(transcript.messages) == 1


def test_a_full_context_ends_the_work(serve: Serve) -> None:
    server = serve([{"blocks": [text("long")], "stop_reason": "model_context_window_exceeded"}])
    assert work(server.url).why is Why.CONTEXT_FULL


def test_a_cap_ends_the_work_before_the_next_call(serve: Serve) -> None:
    server = serve([[call("Look", what=str(n))] for n in range(9)])
    heard = Heard()
    ending = work(server.url, budget=Budget(Caps(turns=3)), notify=heard)
    assert (ending.why, ending.data, len(server.requests)) == (Why.BUDGET, {"what": "turns"}, 3)
    assert [one["text"] for one in heard.of("nudge")] == ["[2 turns are left. Finish now.]"]


def test_every_request_repeats_the_one_before_and_only_grows(serve: Serve) -> None:
    server = serve([*([call("Look", what=str(n))] for n in range(5)), [text("Done.")]])
    work(server.url, system=["a", "b"])
    bodies = [one.body for one in server.requests]
    for before, after in pairwise(bodies):
        assert {**before, "messages": 0} == {**after, "messages": 0}
        sent = before["messages"][:-1]  # the last one carried the cache's mark
        assert after["messages"][: len(sent)] == sent


def test_work_that_failed_goes_on_where_it_stopped(serve: Serve, tmp_path: Path) -> None:
    server = serve([[call("Change", what="x")], {"faults": [400], "blocks": [text("Done.")]}])
    tools, path = CountingTools(), tmp_path / "step.jsonl"
    ledger = Ledger(tmp_path / "effects.jsonl")
    first = work(server.url, tools, Transcript(path), ledger=ledger)
    assert (first.why, first.data) == (Why.FAILED, {"kind": "request"})
    assert work(server.url, tools, Transcript(path), ledger=ledger).text == "Done."
    assert tools.done == ["x"]


def test_work_that_is_over_is_not_done_again(serve: Serve, tmp_path: Path) -> None:
    server = serve([[call("Finish", summary="fine")]])
    path = tmp_path / "step.jsonl"
    first = work(server.url, transcript=Transcript(path))
    assert work(server.url, transcript=Transcript(path)) == first
    assert len(server.requests) == 1
    last = json.loads(path.read_text().splitlines()[-1])
    assert set(last) == {"message", "end"}  # the results and the end cannot be parted by a kill


def test_the_user_is_not_asked_again_for_what_was_already_begun(serve: Serve, tmp_path: Path) -> None:
    class Killed(BaseException):
        """What a kill looks like from inside."""

    class Asking:
        asked = 0

        async def refuses(self, call: Call) -> str | None:
            self.asked += 1
            return None

    class Dying(CountingTools):
        async def run(self, call: Call) -> Outcome:
            await super().run(call)
            raise Killed

    server = serve([[call("Change", what="x")], [text("Done.")]])
    tools, gate, path = Dying(), Asking(), tmp_path / "step.jsonl"
    with pytest.raises(Killed):
        work(server.url, tools, Transcript(path), ledger=Ledger(tmp_path / "effects.jsonl"), gate=gate)
    transcript = Transcript(path)
    work(server.url, tools, transcript, ledger=Ledger(tmp_path / "effects.jsonl"), gate=gate)
    assert (tools.done, gate.asked) == (["x"], 1)
    assert "outcome is unknown" in results(transcript, 2)[0]


def test_a_resumed_agent_has_spent_what_it_spent_before(serve: Serve, tmp_path: Path) -> None:
    turns = [
        {"blocks": [call("Look", what=str(n))], "usage": {"input_tokens": 10, "output_tokens": 5}} for n in range(9)
    ]
    server = serve(turns)
    path = tmp_path / "step.jsonl"
    work(server.url, transcript=Transcript(path), budget=Budget(Caps(turns=2)))
    budget = Budget(Caps(turns=3))
    assert work(server.url, transcript=Transcript(path), budget=budget).why is Why.BUDGET
    assert len(server.requests) == 3
    assert (budget.usage().turns, budget.usage().tokens.input) == (3, 30)


def test_a_question_after_an_interrupted_call_closes_it_first(serve: Serve) -> None:
    class Slow(CountingTools):
        async def run(self, call: Call) -> Outcome:
            await asyncio.sleep(30)
            return Outcome("never")

    server = serve([[call("Change", what="x"), call("Look", what="y")], [text("I stopped.")]])

    async def go() -> None:
        client = client_for(server.url)
        transcript = Transcript()
        loop = ToolLoop(client, transcript, Slow(), patience=QUICK)
        task = asyncio.create_task(loop.run("the brief"))
        while not transcript.calls(len(transcript.messages) - 1):
            await asyncio.sleep(0.01)
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert (await loop.ask("stop that")).text == "I stopped."
        first, second = results(transcript, 2)
        assert "outcome is unknown" in first
        assert second == "Interrupted by the user before it was done."
        await client.close()

    asyncio.run(go())
