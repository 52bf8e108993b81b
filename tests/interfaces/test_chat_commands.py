"""The commands of the chat, on a real session with a console that remembers: each works, or says why not.

What a terminal makes of them is tested in scenes; here it is what they do and what they say.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest

from ml_engineer.agent.calls import Call
from ml_engineer.agent.runs import Run
from ml_engineer.assessment.assess import assess
from ml_engineer.interfaces.jobs import review_job, review_meta
from ml_engineer.interfaces.runs import runs
from ml_engineer.interfaces.terminal.commands import COMMANDS, completions, document
from ml_engineer.interfaces.terminal.commands_base import REPORT
from ml_engineer.report.seal import load
from ml_engineer.tools.permissions import Decision
from tests.support.chat import Talk, do, talk
from tests.support.conversation import APP, DEBUG_OFF, begun, make_repository, said, surveyed, yes
from tests.support.messages_server import MessagesServer
from tests.support.script import Agent, Script, Turn, call, text

DOCS = Path(__file__).resolve().parents[2] / "docs" / "chat.md"
SPEC = (
    "help review implement step plan findings explain delegate peers diff undo permissions sandbox model cost compact "
    "report runs resume export clear quit"
).split()
NEED_A_MODEL = ["implement", "compact"]
Serve = Callable[..., MessagesServer]


@pytest.fixture(autouse=True)
def _home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path / "home"))
    for name in ("ANTHROPIC_API_KEY", "ANTHROPIC_AUTH_TOKEN", "ANTHROPIC_BASE_URL", "ML_ENGINEER_MODEL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="module")
def assessed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return surveyed(tmp_path_factory.mktemp("assessed"))


@pytest.fixture(scope="module")
def sealed(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """The report of a review of the small repository."""
    root = make_repository(tmp_path_factory.mktemp("reviewed") / "repository")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ML_ENGINEER_HOME", str(tmp_path_factory.mktemp("reviews")))
        return asyncio.run(review_job(review_meta(root, offline=True))).to_json().encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def run(root: Path, assessed: bytes) -> Iterator[Run]:
    with begun(root, assessed) as made:
        yield made


@pytest.fixture
def serve() -> Iterator[Callable[..., MessagesServer]]:
    with contextlib.ExitStack() as stack:

        def start(turns: Script | list[Any]) -> MessagesServer:
            script = turns if isinstance(turns, Script) else Script.of(turns)
            return stack.enter_context(MessagesServer(script))

        yield start


# --- the registry -----------------------------------------------------------------------------------------------------


def test_every_command_of_the_specification_is_there_with_help() -> None:
    assert set(SPEC) <= set(COMMANDS)
    assert [name for name, one in COMMANDS.items() if one.needs_model] == NEED_A_MODEL
    assert [name for name, _ in completions()] == list(COMMANDS)
    for one in COMMANDS.values():
        assert one.about, f"/{one.name} has no documentation"
        assert one.help.endswith(".")
        assert len(one.help) < 100


def test_the_documentation_is_made_from_the_registry() -> None:
    assert DOCS.read_text() == document(), "python -m ml_engineer.interfaces.terminal.commands > docs/chat.md"


def test_help_lists_all_and_explains_one(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/help")
    assert all(f"/{name}" in chat.console.text for name in COMMANDS)
    chat = do(run, tmp_path, "/help undo", "/help /diff")
    assert "/undo [force]" in chat.console.text
    assert "A unified diff" in chat.console.text


def test_an_unknown_command_is_told_its_neighbour(run: Run, tmp_path: Path) -> None:
    assert (
        "refused: there is no command /findigs; did you mean /findings?" in do(run, tmp_path, "/findigs").console.text
    )
    assert "/help lists them" in do(run, tmp_path, "/xyzzy").console.text


@pytest.mark.parametrize("name", [name for name in COMMANDS if name not in ("review", "quit", "clear")])
def test_without_a_model_each_works_or_says_why_not(run: Run, tmp_path: Path, name: str) -> None:
    chat = do(run, tmp_path, f"/{name}")
    assert chat.console.text or chat.console.walked, f"/{name} said nothing"
    if name in NEED_A_MODEL:
        assert f"refused: /{name} needs a model" in chat.console.text


# --- reviews, findings, reports ---------------------------------------------------------------------------------------


def test_a_review_makes_the_report_that_the_others_speak_of(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/review", "/report", "/findings", "/cost")
    (report,) = chat.console.reports
    assert report.findings
    assert chat.console.walked[0].severity.rank == min(one.severity.rank for one in report.findings)
    assert "Fix first:" in chat.console.text
    assert any(line.startswith("(reviewing: step") for line in chat.console.shown)
    assert [one.title for one in chat.session.log.kept] == ["Result of the user's review"]
    run.close()
    again = do(Run.open(run.id, work=True), tmp_path, "/report")
    assert again.console.reports == [report], "it is there again after a resume"
    again.session.run.close()


def test_a_review_of_some_steps(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/review 5", "/review 11", "/report")
    assert "'11': give numbers from 1 to 10" in chat.console.text
    assert [step.step for step in chat.console.reports[0].steps if step.state.value == "done"] == [5]


def test_before_a_review_the_findings_are_the_engines(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/findings high", "/report")
    assert chat.console.walked
    assert all(one.severity.value in ("critical", "high") for one in chat.console.walked)
    assert "refused: there is no report in this conversation yet; /review makes one" in chat.console.text


@pytest.mark.parametrize(
    ("line", "refusal"),
    [
        ("/findings 999", "there is no finding 999"),
        ("/findings nonsense", "give a severity"),
        ("/findings 1 eat", "nothing that can be done"),
        ("/findings 1 suppress", "needs a reason"),
        ("/findings 1 send", "name the peer"),
        ("/findings 1 send nobody", "there is no peer nobody"),
        ("/findings 1 fix", "fixing needs a model. What to do by hand:"),
    ],
)
def test_what_cannot_be_done_with_a_finding_is_said(run: Run, tmp_path: Path, line: str, refusal: str) -> None:
    assert refusal in do(run, tmp_path, line).console.text


def test_findings_of_one_step(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/findings step 5")
    assert {one.step for one in chat.console.walked} == {5}


def test_fixing_a_finding_is_a_turn_of_the_agent(run: Run, tmp_path: Path, serve: Serve) -> None:
    server = serve([[text("Fixed.")]])
    chat = do(run, tmp_path, "/findings 1 fix", url=server.url)
    assert chat.words[0].startswith("Fix MLE")
    assert "app.py:" in chat.words[0]
    assert said(server).endswith(chat.words[0])


def test_sending_a_finding_takes_its_evidence_along(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/findings 1 send devops-engineer", "/peers")
    assert "Nobody answers for devops-engineer here, so the brief is queued" in chat.console.text
    (brief,) = chat.session.folder.glob("handoffs/*.md")
    assert "app.py" in brief.read_text()
    assert f"{brief.stem} to devops-engineer (queued)" in chat.console.text


def test_explaining_a_rule_shows_where_it_fires(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/explain MLE0506", "/explain 1", "/explain MLE9999", "/explain")
    shown = chat.console.text
    assert "MLE0506" in shown
    assert "app.py:15" in shown
    assert "refused: there is no rule MLE9999" in shown
    assert "refused: name a rule" in shown
    assert "Here it does not fire" in do(run, tmp_path, "/explain MLE0404").console.text


@pytest.mark.parametrize("name", ["report.md", "report.json", "report.html", "report.sarif", "report.txt"])
def test_a_report_can_be_exported(run: Run, tmp_path: Path, sealed: bytes, name: str) -> None:
    run.write(REPORT, sealed)
    chat = do(run, tmp_path, f"/export {tmp_path / name}")
    assert "Written:" in chat.console.text
    data = (tmp_path / name).read_bytes()
    assert b"MLE" in data
    if name == "report.json":
        assert load(tmp_path / name).digest


def test_an_export_replaces_nothing_unasked(run: Run, tmp_path: Path, sealed: bytes) -> None:
    run.write(REPORT, sealed)
    (tmp_path / "r.md").write_text("mine")
    line = f"/export {tmp_path / 'r.md'}"
    assert "was left alone" in do(run, tmp_path, line, answers=["n"]).console.text
    assert (tmp_path / "r.md").read_text() == "mine"
    do(run, tmp_path, line, answers=["r"])
    assert (tmp_path / "r.md").read_text() != "mine"
    refused = do(run, tmp_path, "/export", "/export x.pdf", f"/export {tmp_path / 'no' / 'x.md'}").console.text
    assert refused.count("name a file that ends with one of") == 2
    assert "there is no folder" in refused


# --- suppressing ------------------------------------------------------------------------------------------------------


def put_aside(run: Run, tmp_path: Path, rule: str, **options: Any) -> Talk:
    """Suppress the first finding of a rule by its number in the list."""

    async def go() -> Talk:
        async with talk(run, tmp_path, **options) as chat:
            await chat.do("/findings")
            number = next(at for at, one in enumerate(chat.console.walked, 1) if one.rule == rule)
            await chat.do(f"/findings {number} suppress only on my   machine")
            return chat

    return asyncio.run(go())


def test_a_suppression_is_a_comment_that_the_next_review_reads(run: Run, root: Path, tmp_path: Path) -> None:
    chat = put_aside(run, tmp_path, "MLE0506")
    assert "MLE0506 is put aside there" in chat.console.text
    assert (
        "    # ml-engineer: ignore[MLE0506] only on my machine\n    app.run(debug=True)"
        in (root / "app.py").read_text()
    )
    after = assess(root)
    assert "MLE0506" not in {one.rule for one in after.findings}
    assert [(one.rule, one.reason) for one in after.suppressed] == [("MLE0506", "only on my machine")]
    assert "Taken back: MLE0506 is put aside" in do(run, tmp_path, "/undo").console.text
    assert (root / "app.py").read_text() == APP


def test_a_suppression_asks_for_permission_like_every_change(run: Run, root: Path, tmp_path: Path) -> None:
    async def no(call: Call, decision: Decision) -> str | None:
        return "Write was refused: the user said no."

    assert "refused: Write was refused" in put_aside(run, tmp_path, "MLE0506", ask=no).console.text
    assert (root / "app.py").read_text() == APP


def test_where_a_comment_cannot_stand_pyproject_has_the_entry(run: Run, root: Path, tmp_path: Path) -> None:
    from ml_engineer.interfaces.terminal.commands_suppress import edits

    finding = next(one for one in assess(root).findings if one.rule == "MLE0506")
    notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    (root / "app.ipynb").write_text(json.dumps(notebook))
    moved = finding.evidence[0].model_copy(update={"path": "app.ipynb", "cell": 0, "line_start": 1, "line_end": 1})
    for start, kept in (
        (None, []),
        ('[project]\nname = "x"\n', ["project"]),
        ("[tool.ml-engineer]\n\n[tool.other]\nx = 1\n", ["tool"]),
        ('[tool.ml-engineer]\nignore = [\n  {rule = "MLE0101", reason = "old"},  # ]\n]\n[a]\nb = 2\n', ["a"]),
    ):
        ((path, compute),) = edits(root, finding.model_copy(update={"evidence": [moved]}), 'a "quoted" reason')
        (root / path).write_bytes(compute(None if start is None else start.encode()))
        import tomllib

        table = tomllib.loads((root / path).read_text())
        entry = {"rule": "MLE0506", "path": "app.ipynb", "reason": 'a "quoted" reason'}
        assert table["tool"]["ml-engineer"]["ignore"][0] == entry
        assert all(name in table for name in kept)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.py", 'x = """\ntwo\nthree"""\n', 2),
        ("a.json", '{\n"a": 1\n}\n', 2),
        ("a.yaml", "run: |\n  one\n  two\n", 3),
        ("a.sh", "echo a \\\n  b\n", 2),
        ("a.py", "def broken(:\n", 1),
    ],
)
def test_a_comment_is_never_put_where_it_would_change_something(root: Path, name: str, content: str, line: int) -> None:
    from ml_engineer.interfaces.terminal.commands_suppress import edits

    (root / name).write_text(content)
    finding = next(one for one in assess(root).findings if one.rule == "MLE0506")
    moved = finding.evidence[0].model_copy(update={"path": name, "line_start": line, "line_end": line})
    ((path, _),) = edits(root, finding.model_copy(update={"evidence": [moved]}), "because")
    assert path == "pyproject.toml"


def test_a_pyproject_that_is_written_another_way_is_left_alone(root: Path) -> None:
    from ml_engineer.interfaces.terminal.commands_suppress import SuppressError, edits

    finding = next(one for one in assess(root).findings if one.rule == "MLE0506")
    moved = finding.evidence[0].model_copy(update={"path": "a.json", "line_start": 1, "line_end": 1})
    ((_, compute),) = edits(root, finding.model_copy(update={"evidence": [moved]}), "because")
    for content in (b"tool.ml-engineer.ignore = []\n", b"not toml [\n"):
        with pytest.raises(SuppressError, match=r"add by hand:\n  \{rule"):
            compute(content)


def test_lines_keep_their_endings_and_a_second_comment_goes_behind(root: Path) -> None:
    from ml_engineer.interfaces.terminal.commands_suppress import edits

    finding = next(one for one in assess(root).findings if one.rule == "MLE0506")
    (root / "app.py").write_bytes(APP.replace("\n", "\r\n").encode())
    ((path, compute),) = edits(root, finding, "because")
    once = compute((root / path).read_bytes())
    assert b"    # ml-engineer: ignore[MLE0506] because\r\n    app.run" in once
    (root / "app.py").write_bytes(once)
    second = finding.model_copy(update={"rule": "MLE0505"})
    below = second.evidence[0].model_copy(update={"line_start": 16, "line_end": 16})
    ((path, compute),) = edits(root, second.model_copy(update={"evidence": [below]}), "too")
    assert b"app.run(debug=True)  # ml-engineer: ignore[MLE0505] too\r\n" in compute(once)


# --- changes and permissions ------------------------------------------------------------------------------------------


def test_diff_and_undo_of_what_the_agent_did(run: Run, root: Path, tmp_path: Path, serve: Serve) -> None:
    server = serve([[call("Read", file_path="app.py")], [call("Edit", **DEBUG_OFF)], [text("Done.")]])

    async def go() -> None:
        async with talk(run, tmp_path, server.url) as chat:
            await chat.say("Turn it off")
            assert "+    app.run(debug=False)" in await chat.do("/diff")
            assert "+    app.run(debug=False)" in await chat.do("/diff app.py")
            assert "Nothing is different" in await chat.do("/diff src")
            assert "outside" in await chat.do("/diff ../x")
            assert "app.py is as it was before" in await chat.do("/undo")
            assert "nothing left to take back" in await chat.do("/undo")
            assert "refused: it is /undo, or /undo force" in await chat.do("/undo everything")
            assert "Nothing is different" in await chat.do("/diff")

    asyncio.run(go())
    assert (root / "app.py").read_text() == APP


def test_the_permission_mode_is_shown_and_changed(run: Run, tmp_path: Path) -> None:
    chat = do(run, tmp_path, "/permissions", "/permissions full", "/permissions all")
    assert "Mode: ask, which asks before every change" in chat.console.text
    assert "Mode: full" in chat.console.text
    assert "refused: all is no mode; there are read-only, ask, accept-edits, full" in chat.console.text
    assert chat.session.mode.value == "full"


def test_the_sandbox_says_what_it_keeps(run: Run, tmp_path: Path) -> None:
    shown = do(run, tmp_path, "/sandbox").console.text
    assert "sandbox: off" in shown
    assert "Not kept: Neither files nor the network are confined" in shown


def test_the_model_can_be_changed(run: Run, tmp_path: Path, serve: Serve) -> None:
    server = serve([[text("One.")]])
    shown = do(run, tmp_path, "/model", "/model other", url=server.url).console.text
    assert "Model: scripted at http" in shown
    assert "Model: other at http" in shown
    assert "There is no model to talk to" in do(run, tmp_path, "/model").console.text


def test_the_cost_is_listed_by_agent(run: Run, tmp_path: Path, serve: Serve) -> None:
    server = serve([[text("One.")]])

    async def go() -> str:
        async with talk(run, tmp_path, server.url) as chat:
            await chat.say("Hello")
            return await chat.do("/cost")

    shown = asyncio.run(go())
    assert "ml-engineer | 1 |" in shown
    assert "unpriced" in shown
    assert "Limit: none" in shown


# --- steps, plans, peers ----------------------------------------------------------------------------------------------


def test_a_step_is_worked_on_with_a_model_and_shown_without(run: Run, tmp_path: Path, serve: Serve) -> None:
    shown = do(run, tmp_path, "/step 5", "/step 12").console.text
    assert "Working on it needs a model" in shown
    assert "MLE05" in shown
    assert "refused: name a step by its number" in shown
    server = serve([[text("One.")]])
    chat = do(run, tmp_path, "/step 5 refuse bad input", url=server.url)
    assert chat.words[0].startswith("Work on step 5, Model Deployment: refuse bad input.")


def test_the_plan_is_shown_and_can_be_asked_for(run: Run, tmp_path: Path, serve: Serve) -> None:
    items = [{"text": "Look", "state": "done"}, {"text": "Change", "state": "pending"}]
    server = serve([[call("UpdatePlan", items=items)], [text("One.")]])

    async def go() -> None:
        async with talk(run, tmp_path, server.url) as chat:
            assert "There is no plan" in await chat.do("/plan")
            await chat.do("/plan make it safe")
            assert chat.words[0].startswith("Make a plan for this, and change nothing yet: make it safe.")
            assert "done | Look\nto do | Change" in await chat.do("/plan")

    asyncio.run(go())


def test_a_peer_is_asked_by_its_command(run: Run, tmp_path: Path, serve: Serve) -> None:
    run.meta["ask_peers"] = True
    reply = tmp_path / "reply.md"
    reply.write_text('```json\n{"state": "answered", "answer": "Use one table.", "claims": []}\n```\n')
    broken = '[peers.cloud-architect]\ntransport = "command"\ncommand = ["sh", "-c", "cat > /dev/null; echo Hm."]\n'
    command = f'["sh", "-c", "cat > /dev/null; cat {reply}"]'
    config = f'{broken}[peers.data-engineer]\ntransport = "command"\ncommand = {command}\n'
    (tmp_path / "home" / "config.toml").write_text(config)
    server = serve([[text("I see.")]])

    async def go() -> None:
        async with talk(run, tmp_path, server.url) as chat:
            shown = await chat.do(
                "/delegate data-engineer Which table?", "/peers", "/delegate", "/delegate nobody Who?",
                "/delegate cloud-architect Where?",
            )  # fmt: skip
            assert "Use one table." in shown
            assert "Answer of data-engineer" in shown
            assert "(answered): Which table?" in shown
            assert "refused: name the peer and ask" in shown
            assert "refused: there is no peer nobody" in shown
            assert "refused: cloud-architect gave no answer (failed)" in shown
            assert shown.count("What it wrote:") == 1
            await chat.say("What did they say?")

    asyncio.run(go())
    assert "Which table?\n\nUse one table." in said(server)


# --- implementing -----------------------------------------------------------------------------------------------------


def git(target: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", *arguments]
    return subprocess.run(command, cwd=target, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def implementing(root: Path, serve: Serve, monkeypatch: pytest.MonkeyPatch) -> MessagesServer:
    git(root, "init", "-q", "-b", "main", ".")
    git(root, "add", "-A")
    git(root, "commit", "-qm", "Prototype")
    step = {"step": 5, "title": "Turn the debugger off", "changes": "app.py", "checks": ["! grep -q debug=True app.py"]}
    plan = [call("propose_plan", summary="What was asked for.", steps=[step])]
    read, done = call("Read", file_path="app.py"), [call("finish_step", summary="The debugger is off.")]
    server = serve(
        Script(
            [
                Agent([Turn.read(plan)], "# Plan the work"),
                Agent([Turn.read(one) for one in ([read], [call("Edit", **DEBUG_OFF)], done)], "# Your step: 5 "),
                Agent([Turn.read([call("answer", answer="Nothing to add.")])]),
            ]
        )
    )  # fmt: skip
    monkeypatch.setenv("ANTHROPIC_BASE_URL", server.url)
    monkeypatch.setenv("ML_ENGINEER_MODEL", "scripted")
    return server


def test_an_implementation_is_approved_carried_out_and_brought_in(
    run: Run, root: Path, tmp_path: Path, implementing: MessagesServer
) -> None:
    chat = do(run, tmp_path, "/implement turn the debugger off", url=implementing.url, answers=["y", "b"], ask=yes)
    shown = chat.console.text
    assert "Step 5, Model Deployment: Turn the debugger off" in shown
    assert chat.console.asked[0].startswith("Carry out this plan?")
    assert "step 5 Model Deployment: app.py: Turn the debugger off" in shown
    assert "+    app.run(debug=False)" in shown
    assert "fast-forwarded to ml-engineer/" in shown
    assert "debug=False" in (root / "app.py").read_text()
    assert "Record of the implementation" in chat.session.log.kept[0].title


def test_a_plan_that_is_not_approved_changes_nothing(
    run: Run, root: Path, tmp_path: Path, implementing: MessagesServer
) -> None:
    chat = do(run, tmp_path, "/implement turn the debugger off", url=implementing.url, answers=["n"])
    assert "refused: the plan was not approved; nothing was changed" in chat.console.text
    assert git(root, "branch").split() == ["*", "main"]


def test_what_keeps_an_implementation_from_starting_is_said(run: Run, tmp_path: Path, serve: Serve) -> None:
    server = serve([])
    chat = do(run, tmp_path, "/implement", "/permissions read-only", "/implement x", url=server.url)
    assert "refused: say what is to be done" in chat.console.text
    assert "refused: the mode is read-only, and this changes files" in chat.console.text


# --- the conversation -------------------------------------------------------------------------------------------------


def test_compacting_shows_what_is_carried_over(run: Run, tmp_path: Path, serve: Serve) -> None:
    server = serve([[text("One.")]])

    async def go() -> str:
        async with talk(run, tmp_path, server.url) as chat:
            early = await chat.do("/compact")
            await chat.say("Never touch the database")
            return early + await chat.do("/compact")

    shown = asyncio.run(go())
    assert "refused: there is nothing to compact yet" in shown
    assert "1. Never touch the database" in shown


def test_runs_of_this_repository_are_listed_and_conversations_resumed(
    run: Run, root: Path, tmp_path: Path, serve: Serve
) -> None:
    server = serve([[text("One.")]])
    earlier = Run.create({"mode": "chat", "target": str(root), "ask_peers": False})
    foreign = Run.create({"mode": "chat", "target": "/somewhere/else"})
    review = Run.create({"mode": "review", "target": str(root)})
    for one in (foreign, review):
        one.close()

    async def go() -> None:
        async with talk(earlier, tmp_path, server.url) as chat:
            await chat.say("Why is the recall so low?")
        earlier.close()
        async with talk(run, tmp_path, answers=["1"]) as chat:
            shown = await chat.do("/runs")
            assert "Why is the recall so low? (1 turns)" in shown
            assert "this one" in shown
            assert foreign.id not in shown
            await chat.do("/resume")
            assert chat.resumed == earlier.id
            assert "Why is the recall" in chat.console.asked[0]
            chat.resumed = None
            refused = await chat.do(
                f"/resume {review.id}", f"/resume {foreign.id}", "/resume nonsense", f"/resume {run.id}"
            )
            assert f"ml-engineer runs resume {review.id}" in refused
            assert "ml-engineer chat /somewhere/else" in refused
            assert "is not the id of a run" in refused
            assert "that is this conversation" in refused
            assert chat.resumed is None
            await chat.do(f"/resume {earlier.id[:-2]}")
            assert chat.resumed == earlier.id

    asyncio.run(go())


def test_the_command_line_says_how_to_go_on_with_a_conversation(run: Run) -> None:
    run.close()
    with pytest.raises(click.ClickException, match=f"ml-engineer chat --resume {run.id}"):
        runs.main(["resume", run.id], standalone_mode=False)


def test_clear_and_quit_are_the_chats_own(run: Run, tmp_path: Path) -> None:
    assert do(run, tmp_path, "/clear").ended == "restarted"
    assert do(run, tmp_path, "/quit").ended == "left"
    assert "unfolded 3" in do(run, tmp_path, "/unfold 3").console.text
