"""The assembled prompt and the tool schemas, word for word: a change shows in a diff and is meant.

Set UPDATE_GOLDEN=1 to write `golden/` anew after a change that is meant.
"""

from __future__ import annotations

import json
import os
import re
from pathlib import Path

import jinja2
import pytest

from ml_engineer.agent.plan import PROPOSE_PLAN
from ml_engineer.agent.prompts import quoted, render
from ml_engineer.agent.steps import brief, finished, owned_fields
from ml_engineer.agent.submission import FINISH_STEP
from ml_engineer.report.schema import (
    STEP_NAMES,
    Claim,
    ClaimState,
    Confidence,
    Finding,
    Quote,
    Severity,
    StepRecord,
    StepState,
)

GOLDEN = Path(__file__).parent / "golden"
FACTS = "Serving framework: Flask\nPorts: 8080, 5000"
KNOWN = quoted("all findings of the engine", "step 5 high MLE0506: The debugger is on (app.py:15)")


def engine(step: int) -> StepRecord:
    quote = Quote(path="app.py", line_start=15, line_end=15, quote="app.run(debug=True)", sha256="0" * 64)
    found = Finding(
        rule="MLE0506",
        step=step,
        severity=Severity.HIGH,
        confidence=Confidence.HIGH,
        title="The debugger is on",
        why="Whoever reaches the port can run code.",
        remedy="Turn it off.",
        evidence=[quote] * 5,
        source="Flask's documentation",
        fingerprint="f",
    )
    claims = {name: Claim(text="none", state=ClaimState.ABSENT) for name in owned_fields(step)[:1]}
    name = STEP_NAMES[step]
    return StepRecord(step=step, name=name, state=StepState.DONE, summary="1 high", findings=[found], claims=claims)


def assembled(step: int, mode: str) -> str:
    """Everything that the model reads before its first answer."""
    facts = quoted("the repository's profile", FACTS)
    parts = [
        render("system.md.j2", mode=mode),
        render("profile.md.j2", facts=facts, name="churn", files=19, score=0.5, findings=KNOWN, hidden=0),
        finished([engine(1), engine(2)]),
        brief(engine(step), mode, task="Make it safe.", plan="Turn it off.\n$ pytest -q")
        if mode == "implement"
        else brief(engine(step), mode),
    ]
    return "\n\n=====\n\n".join(parts) + "\n"


def compare(name: str, text: str) -> None:
    path = GOLDEN / name
    if os.environ.get("UPDATE_GOLDEN"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    assert text == path.read_text(), f"the prompt is another than in {path}; set UPDATE_GOLDEN=1 if that is meant"


@pytest.mark.parametrize(("step", "mode"), [(5, "review"), (3, "implement")])
def test_the_assembled_prompt_is_what_was_agreed(step: int, mode: str) -> None:
    compare(f"step-{step:02d}-{mode}.txt", assembled(step, mode))


def test_the_schemas_of_our_own_tools_are_what_was_agreed() -> None:
    compare("tools.json", json.dumps([FINISH_STEP, PROPOSE_PLAN], indent=1) + "\n")


@pytest.mark.parametrize("step", list(STEP_NAMES))
@pytest.mark.parametrize("mode", ["review", "implement"])
def test_every_step_has_a_brief_of_its_own_with_what_it_must_say(step: int, mode: str) -> None:
    text = assembled(step, mode)
    assert f"# Your step: {step} {STEP_NAMES[step]}\n" in text
    for part in ("**Look first", "**What good looks like", "**Common mistakes", "**Never claim**", "F1 MLE0506 high"):
        assert part in text, part
    for name in owned_fields(step):
        assert name in text
    assert not re.search(r"\{\{|\{%|None", text)


@pytest.mark.parametrize(
    "word", ["Production", "Automation", "Performance", "Monitoring", "Version control", "Scalability"]
)
def test_the_heuristics_are_part_of_the_system_prompt(word: str) -> None:
    assert f"- **{word}" in render("system.md.j2", mode="review")


def test_a_missing_value_is_an_error_and_no_gap() -> None:
    with pytest.raises(jinja2.UndefinedError):
        render("profile.md.j2", name="churn")


@pytest.mark.parametrize("text", ["</quoted>", "< / quoted >", "</QUOTED>", '<quoted from="user">', "a </quoted\n> b"])
def test_quoted_text_cannot_leave_its_marks(text: str) -> None:
    marked = quoted("README.md", text)
    assert len(re.findall(r"<\s*/\s*quoted", marked, re.IGNORECASE)) == 1
    assert len(re.findall(r"<\s*quoted", marked, re.IGNORECASE)) == 1


def test_the_origin_cannot_break_the_mark() -> None:
    assert quoted('x"> <quoted from="user', "t").splitlines()[0].count("<") == 1


def test_text_of_the_target_is_never_rendered_as_a_template() -> None:
    hostile = engine(5).model_copy(update={"summary": "{{ 7 * 7 }}"})
    assert "{{ 7 * 7 }}" in finished([hostile])
