"""Chats in real terminals, shared by the scenes of a module where a scene leaves nothing behind for the next.

`scene(terminal)` begins one: it clears the screen, so that what a scene waits for can only be its own.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.paced_server import PacedServer, Plays
from tests.support.terminal import DEADLINE, Terminal, clean_environment

EXAMPLE = Path(__file__).resolve().parents[3] / "examples" / "churn"
GALLERY = Path(__file__).resolve().parents[3] / "docs" / "gallery"
RENEW = "ML_ENGINEER_GALLERY"  # set it, and the scenes draw their pictures anew

APP = (
    "import pickle\n\nfrom flask import Flask, jsonify, request\n\napp = Flask(__name__)\n"
    "model = pickle.load(open('model.pkl', 'rb'))\n\n\n@app.route('/predict', methods=['POST'])\n"
    "def predict():\n    return jsonify(model.predict(request.json['x']).tolist())\n\n\n"
    "if __name__ == '__main__':\n    app.run(debug=True)\n"
)

Start = Callable[..., Terminal]


def prototype(folder: Path) -> Path:
    """A small repository with findings on its serving path."""
    root = folder / "prototype"
    (root / "src").mkdir(parents=True)
    (root / "app.py").write_text(APP)
    (root / "src" / "train.py").write_text("import pandas as pd\n\nrows = pd.read_csv('/data/train.csv')\n")
    subprocess.run(["git", "init", "-q"], cwd=root, check=True)
    return root


def scene(terminal: Terminal) -> None:
    """An idle prompt on an empty screen. What the scene before has still to say is cleared with the next try; a turn or
    a question that a failed scene has left open is stopped."""

    def idle() -> bool:
        return "Ctrl-C stops it" not in terminal.screen and "›" in terminal.screen

    for deadline in (5.0, 10.0, DEADLINE):
        try:
            terminal.wait(idle, "an idle prompt", 10.0)
        except AssertionError:
            terminal.send("ctrl-c")
            terminal.wait(idle, "an idle prompt")
        terminal.send("ctrl-l")
        try:
            terminal.wait(lambda: _empty(terminal.screen), "an empty screen", deadline)
        except AssertionError:
            if deadline == DEADLINE:
                raise
        else:
            return


def _empty(screen: str) -> bool:
    return screen.strip().startswith("›\n") and len(screen.split()) < 30


def left(terminal: Terminal) -> str:
    """Leave a chat in which something was said; gives the id under which it can be gone on with."""
    terminal.send("ctrl-d")
    assert terminal.wait_for_end() == 0
    found = re.search(r"ml-engineer chat --resume (\S+)", terminal.screen)
    assert found
    return found[1]


def picture(terminal: Terminal, name: str, title: str) -> None:
    """Keep a picture of the screen for the gallery, where that is wanted; else see that it is there."""
    path = GALLERY / f"{name}.svg"
    if os.environ.get(RENEW):
        path.parent.mkdir(exist_ok=True)
        path.write_text(terminal.svg(title))
    assert path.is_file(), f"{path.name} is missing: set {RENEW}=1 and run these tests"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The home of the chats of a module, with a repository in it."""
    home = tmp_path_factory.mktemp("home")
    prototype(home)
    return home


@pytest.fixture
def home(tmp_path: Path) -> Path:
    prototype(tmp_path)
    return tmp_path


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    """Starts chats of their own: `start(server, "--plain", columns=40, NO_COLOR="1")`."""
    opened: list[Terminal] = []

    def begin(server: PacedServer | None, *arguments: str, **options: object) -> Terminal:
        sizes = {name: options.pop(name) for name in ("columns", "rows", "cwd") if name in options}
        settings = {name: str(value) for name, value in options.items()}
        environment = clean_environment(home, **model_settings(server)) | settings
        call = ["chat", home / "prototype", *arguments] if arguments[:1] != ("nothing",) else []
        opened.append(Terminal(call, environment, **sizes))  # type: ignore[arg-type]  # the sizes by their names
        return opened[-1]

    yield begin
    for terminal in opened:
        terminal.close()


def model_settings(server: PacedServer | None) -> dict[str, str]:
    return {"ANTHROPIC_BASE_URL": server.url, "ML_ENGINEER_MODEL": "scripted"} if server is not None else {}


def serving(plays: Plays) -> PacedServer:
    return PacedServer(plays.script, plays=plays, keep_bodies=True)


@pytest.fixture(scope="session")
def example(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with a copy of the shipped example in it."""
    home = tmp_path_factory.mktemp("example")
    shutil.copytree(EXAMPLE, home / "churn")
    return home
