"""What the tests of conversations work with: a small repository, a run, and a session opened on them in one line."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.agent.calls import Call
from ml_engineer.agent.client import Settings
from ml_engineer.agent.runs import Run
from ml_engineer.agent.session import Session, open_session
from ml_engineer.assessment.assess import assess
from ml_engineer.tools.permissions import Decision
from ml_engineer.tools.sandbox import Level, Sandbox
from ml_engineer.tools.sandbox_view import View
from tests.support.messages_server import MessagesServer

APP = """import pickle

from flask import Flask, jsonify, request

app = Flask(__name__)
model = pickle.load(open("model.pkl", "rb"))


@app.route("/predict", methods=["POST"])
def predict():
    return jsonify(model.predict(request.json["x"]).tolist())


if __name__ == "__main__":
    app.run(debug=True)
"""
DEBUG_OFF = {"file_path": "app.py", "old_string": "debug=True", "new_string": "debug=False"}


def make_repository(root: Path) -> Path:
    (root / "src").mkdir(parents=True)
    (root / "app.py").write_text(APP)
    (root / "src" / "train.py").write_text("a = 1\n")
    return root


def surveyed(folder: Path) -> bytes:
    """The engine's survey of such a repository, made in an empty folder."""
    return assess(make_repository(folder / "repository")).model_dump_json().encode()


@contextmanager
def begun(root: Path, survey: bytes) -> Iterator[Run]:
    """The run of a conversation about it, whose survey is there already."""
    made = Run.create({"mode": "chat", "target": str(root), "ask_peers": False})
    made.write("survey.json", survey)
    yield made
    made.close()


def unproved(root: Path, scratch: Path) -> Sandbox:
    """Commands without confinement: no self-test is paid for, and every one of them is asked about."""
    scratch.mkdir(parents=True, exist_ok=True)
    return Sandbox(Level.OFF, View(root, scratch, scratch, True))


async def yes(call: Call, decision: Decision) -> str | None:
    return None


@asynccontextmanager
async def opened(run: Run, url: str | None, scratch: Path, **options: Any) -> AsyncIterator[Session]:
    """A session of `run`, with a model behind `url` or without one; whatever is asked is allowed."""
    settings = Settings("scripted", base_url=url) if url else None
    options = {"ask": yes, "launcher": unproved(Path(run.meta["target"]), scratch / "commands")} | options
    async with open_session(run, settings=settings, **options) as session:
        yield session


def said(server: MessagesServer, number: int = -1) -> str:
    """Everything that the last message of a request says, text and results alike."""
    content = server.requests[number].body["messages"][-1]["content"]
    if isinstance(content, str):
        return content
    return "\n".join(str(block.get("text", block.get("content"))) for block in content)


def again(run: Run) -> Run:
    """The run as another process opens it."""
    run.close()
    return Run.open(run.id, work=True)


async def until(condition: Callable[[], object], seconds: float = 30) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)


async def stopped(task: asyncio.Task[Any]) -> None:
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
