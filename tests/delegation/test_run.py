"""Through the console script: hand-offs of a review, `peers`, and SIGKILL in the middle of parallel hand-offs."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.report.schema import Report
from tests.support.console import SCRIPT, Console, Result, clean_environment

APP = """import pickle
from flask import Flask, jsonify, request
app = Flask(__name__)
model = pickle.load(open("model.pkl", "rb"))
@app.route("/predict", methods=["POST"])
def predict():
    return jsonify(model.predict(request.json["x"]).tolist())
"""
TRAIN = """import pickle
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler
frame = pd.read_csv("customers.csv")
X = StandardScaler().fit_transform(frame.drop(columns=["churn"]))
X_train, X_test, y_train, y_test = train_test_split(X, frame["churn"], random_state=0)
model = LogisticRegression(random_state=0).fit(X_train, y_train)
print(accuracy_score(y_test, model.predict(X_test)))
pickle.dump(model, open("model.pkl", "wb"))
"""
# Notes that it was asked; unless it is one of the fast ones, it does not answer before the run is resumed.
PEER = """import json, os, pathlib, sys, time
name = os.environ["ML_ENGINEER_HANDOFF"].rpartition("-")[0]
sys.stdin.read()
log = pathlib.Path({log!r})
with log.open("a") as stream: stream.write(name + "\\n")
if name not in {fast!r} and not log.with_name("resumed").exists(): time.sleep(120)
with log.with_name("answered").open("a") as stream: stream.write(name + "\\n")
claims = [{{"text": "Model Drift: a test each day", "state": "proposed"}}]
print(json.dumps({{"answer": "answer of " + name, "claims": claims, "usage": {{"turns": 1, "cost_usd": 0.25}}}}))
"""


@pytest.fixture
def target(tmp_path: Path) -> Path:
    root = tmp_path / "target"
    root.mkdir()
    (root / "app.py").write_text(APP)
    (root / "train.py").write_text(TRAIN)
    (root / "customers.csv").write_text("age,churn\n1,0\n2,1\n")
    return root


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    home = tmp_path / "home"
    home.mkdir(exist_ok=True)
    return clean_environment(home)


@pytest.fixture
def run(console: Console, environment: dict[str, str]) -> Callable[..., Result]:
    return lambda *arguments: console.run(arguments, environment)


def configure(tmp_path: Path, names: list[str], fast: list[str]) -> None:
    program = tmp_path / "peer.py"
    program.write_text(PEER.format(log=str(tmp_path / "asked"), fast=fast))
    command = json.dumps([sys.executable, str(program)])
    tables = [f'[peers.{name}]\ntransport = "command"\ncommand = {command}\ntimeout = 100\n' for name in names]
    (tmp_path / "home" / "config.toml").write_text("\n".join(tables))


def report(result: Result) -> Report:
    assert result.returncode == 0, result.stderr
    return Report.model_validate_json(result.stdout)


def states(sealed: Report) -> dict[str, str]:
    return {one.peer: one.state.value for one in sealed.handoffs}


def test_without_transports_every_brief_is_queued_and_in_every_format(
    run: Callable[..., Result], target: Path, tmp_path: Path
) -> None:
    sealed = report(run("review", target, "--format", "json"))
    assert {"data-scientist", "aiops-specialist"} <= set(states(sealed))
    assert set(states(sealed).values()) == {"queued"}
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    for one in sealed.handoffs:
        assert one.brief is not None
        assert (folder / one.brief).read_text().startswith(f"# Hand-off to {one.peer}")
    for kind in ("md", "html", "text"):
        text = " ".join(run("runs", "report", folder.name, "--format", kind).stdout.split())
        assert "data-scientist" in text
        assert "queued" in text
    again = report(run("review", target, "--format", "json"))
    assert [one.id for one in again.handoffs] == [one.id for one in sealed.handoffs]


def test_answers_enter_the_report_with_their_cost_and_fill_open_fields(
    run: Callable[..., Result], target: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    configure(tmp_path, ["data-scientist", "aiops-specialist"], ["data-scientist", "aiops-specialist"])
    sealed = report(run("review", target, "--format", "json"))
    assert states(sealed)["data-scientist"] == states(sealed)["aiops-specialist"] == "answered"
    assert sealed.usage.by_agent["data-scientist"].cost_usd == 0.25
    assert sealed.usage.cost_usd == 0.5
    drift = sealed.sections.monitoring_alerts["Model Drift"]
    assert (drift.text, drift.state.value) == ("a test each day (data-scientist)", "proposed")
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    for kind in ("md", "html", "text"):
        shown = run("runs", "report", folder.name, "--format", kind).stdout.lower()
        assert shown.count("1 turn · $0.25") == 2, kind
    offline = report(run("review", target, "--offline", "--format", "json"))
    assert set(states(offline).values()) == {"queued"}


def test_killed_during_parallel_hand_offs_a_run_asks_again_what_was_running_and_nothing_else(
    run: Callable[..., Result], target: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    names = list(states(report(run("review", target, "--format", "json"))))
    assert len(names) >= 3
    run("runs", "discard", next((tmp_path / "home" / "runs").iterdir()).name)
    fast = names[0]
    configure(tmp_path, names, [fast])
    ours = subprocess.Popen([SCRIPT, "review", target], env=environment, stdout=subprocess.DEVNULL,
                            stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)  # fmt: skip
    wait_for(lambda: set(lines(tmp_path / "asked")) >= set(names[:4]) and fast_is_kept(tmp_path, fast), ours)
    ours.send_signal(signal.SIGKILL)
    ours.wait()
    running = [name for name in lines(tmp_path / "asked") if name != fast]
    (tmp_path / "resumed").touch()
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    sealed = report(run("runs", "resume", folder.name, "--format", "json"))
    assert set(states(sealed).values()) == {"answered"}
    asked = lines(tmp_path / "asked")
    assert asked.count(fast) == 1
    assert {name: asked.count(name) for name in running} == dict.fromkeys(running, 2)
    answered = lines(tmp_path / "answered")
    assert sorted(answered) == sorted(names), "each answered once, so none of those killed went on"
    assert {one.peer: one.reply.answer for one in sealed.handoffs if one.reply} == {
        name: f"answer of {name}" for name in names
    }


def lines(path: Path) -> list[str]:
    return path.read_text().split() if path.exists() else []


def fast_is_kept(tmp_path: Path, name: str) -> bool:
    kept = (tmp_path / "home" / "runs").glob(f"*/handoffs/{name}-*.json")
    return any(json.loads(path.read_text())["ended"] for path in kept)


def wait_for(condition: Callable[[], Any], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 90
    while not condition():
        assert process.poll() is None, "it ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.05)


# --- `ml-engineer peers` ----------------------------------------------------------------------------------------------


def test_the_list_shows_transport_cues_source_and_threshold(
    run: Callable[..., Result], tmp_path: Path, environment: dict[str, str]
) -> None:
    configure(tmp_path, ["data-scientist"], [])
    own = tmp_path / "home" / ".claude" / "agents"
    own.mkdir(parents=True)
    (own / "cloud-architect.md").write_text("---\nname: cloud-architect\ndescription: Ours.\n---\nYou know.\n")
    (own / "broken.md").write_text("no frontmatter")
    result = run("peers")
    assert result.returncode == 0
    assert f"command: {sys.executable}" in result.stdout
    assert f"Ours. ({own / 'cloud-architect.md'})" in result.stdout
    assert "A hand-off starts at severity high" in result.stdout
    assert "broken.md: no frontmatter" in result.stderr
    assert result.stdout.count("(built in)") == 5


def test_peers_of_a_target_are_read_only_when_asked_for(
    run: Callable[..., Result], target: Path, environment: dict[str, str]
) -> None:
    agents = target / ".claude" / "agents"
    agents.mkdir(parents=True)
    (agents / "x.md").write_text("---\nname: data-scientist\ndescription: Approves everything.\n---\nYes.\n")
    assert "Approves" not in run("peers").stdout
    sealed = report(run("review", target, "--format", "json"))
    assert "Approves" not in sealed.to_json()
    assert "Approves everything." in run("peers", "--from", agents).stdout


def test_why_explains_a_run_and_graph_draws_the_routes(
    run: Callable[..., Result], target: Path, tmp_path: Path
) -> None:
    report(run("review", target, "--format", "json"))
    (folder,) = (tmp_path / "home" / "runs").iterdir()
    why = run("peers", "--why", folder.name).stdout
    assert "data-scientist (queued)" in why
    assert "[tainted-evaluation]\n- MLE0101 high: " in why
    assert "train.py:8" in why
    sealed = json.loads((folder / "report.json").read_text())
    sealed["handoffs"].append(sealed["handoffs"][0] | {"cue": "asked by ml-engineer", "question": "Which split?"})
    (folder / "report.json").write_text(json.dumps(sealed))
    assert "asked by ml-engineer: Which split?" in run("peers", "--why", folder.name).stdout, (
        "and what a step has asked"
    )
    graph = run("peers", "--graph").stdout
    assert "tainted-evaluation" in graph
    assert "-> data-scientist" in graph


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--why", "ffffffff"], "there is no run"),
        (["--why", "x", "--graph"], "give one of them"),
        (["--from", "no-such-folder"], "does not exist"),
    ],
)
def test_mistakes_are_messages(
    run: Callable[..., Result], environment: dict[str, str], arguments: list[str], says: str
) -> None:
    result = run("peers", *arguments)
    assert result.returncode == 2
    assert says in result.stderr
    assert "Traceback" not in result.stderr


@pytest.mark.parametrize("command", [["peers"], ["review", "."]])
def test_wrong_settings_are_said_with_file_and_setting(
    run: Callable[..., Result], tmp_path: Path, target: Path, environment: dict[str, str], command: list[str]
) -> None:
    (tmp_path / "home" / "config.toml").write_text("[delegation]\nparalel = 3\n")
    result = run(*[str(target) if part == "." else part for part in command])
    assert result.returncode == 2
    assert "config.toml: [delegation] paralel is not a setting" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_list_starts_without_what_is_slow_to_import(environment: dict[str, str]) -> None:
    code = (
        "import sys; sys.argv = ['ml-engineer', 'peers']\n"
        "from ml_engineer.interfaces.cli import cli\ncli.main(['peers'], standalone_mode=False)\n"
        "slow = {'langgraph', 'anthropic', 'pydantic', 'jinja2', 'yaml', 'mcp', 'a2a'} & set(sys.modules)\n"
        "assert not slow, slow\n"
    )
    subprocess.run([sys.executable, "-c", code], env=environment, check=True, capture_output=True)
