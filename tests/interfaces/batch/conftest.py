"""Small repositories that differ, and batches over them through the installed console script."""

from __future__ import annotations

import os
import signal
import subprocess
import sysconfig
import time
from collections.abc import Callable, Iterator
from multiprocessing import forkserver
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from ml_engineer.interfaces.batch.command import batch as command
from tests.interfaces.batch.model import asked, script
from tests.support.batches_server import BatchesServer

SCRIPT = Path(sysconfig.get_path("scripts")) / "ml-engineer"
Batch = Callable[..., Result]
WAIT = 120.0


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    """Nothing of the developer's own machine: no key, no home, no settings."""
    home = tmp_path / "home"
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    git = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}
    dated = {"GIT_AUTHOR_DATE": "2026-01-02T03:04:05Z", "GIT_COMMITTER_DATE": "2026-01-02T03:04:05Z"}
    return kept | git | dated | {"ML_ENGINEER_HOME": str(home), "HOME": str(home), "COLUMNS": "100"}


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out"


@pytest.fixture(scope="module")
def warm_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """One warm process for all batches of a test module, of which the children get an environment without a user."""
    with pytest.MonkeyPatch.context() as patch:
        home = tmp_path_factory.mktemp("home")
        for name in [name for name in os.environ if name.startswith(("ANTHROPIC_", "ML_ENGINEER_"))]:
            patch.delenv(name)
        patch.setenv("ML_ENGINEER_HOME", str(home))
        patch.setenv("HOME", str(home))
        forkserver._forkserver._stop()  # type: ignore[attr-defined]  # the one of earlier tests has other modules
        yield
        forkserver._forkserver._stop()  # type: ignore[attr-defined]


@pytest.fixture(scope="module")
def warm_model(warm_server: None) -> Iterator[BatchesServer]:
    """One scripted server for all batches of a test module, whose children know where it is."""
    with pytest.MonkeyPatch.context() as patch, BatchesServer(script()) as server:
        for name, value in asked(server).items():
            patch.setenv(name, value)
        yield server


@pytest.fixture
def model(warm_model: BatchesServer) -> BatchesServer:
    """That server, as if it had just been started. A test sets its `script`."""
    warm_model.forget()
    return warm_model


@pytest.fixture
def batch(warm_server: None, tmp_path: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> Batch:
    """`batch(*words)` runs the command to its end, in this process and in `tmp_path`, into `out`."""
    monkeypatch.chdir(tmp_path)

    def call(*words: str | Path, into: Path = out) -> Result:
        return CliRunner().invoke(command, [*map(str, words), "--out", str(into)])

    return call


@pytest.fixture
def started(environment: dict[str, str], tmp_path: Path, out: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`started(*words)` starts the command in a group of its own, which is killed when the test ends."""
    children: list[subprocess.Popen[str]] = []

    def start(*words: str | Path, into: Path = out, **more: str) -> subprocess.Popen[str]:
        child = subprocess.Popen(
            [str(SCRIPT), "batch", *map(str, words), "--out", str(into)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            stdin=subprocess.DEVNULL,
            text=True,
            cwd=tmp_path,
            env=environment | more,
            start_new_session=True,
        )
        children.append(child)
        return child

    yield start
    for child in children:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.communicate()


def make_repository(root: Path, number: int = 0) -> Path:
    """A small repository of which no two numbers give the same report."""
    root.mkdir(parents=True)
    (root / "app.py").write_text(
        "from flask import Flask\n\napp = Flask(__name__)\n" + "\n" * number + f"\n\n@app.route('/predict{number}')\n"
        f"def predict():\n    return '{number}'\n\n\nif __name__ == '__main__':\n    app.run(debug=True)\n"
    )
    (root / "requirements.txt").write_text("flask\n")
    return root


@pytest.fixture
def many(tmp_path: Path) -> Callable[[int], list[Path]]:
    """`many(8)` makes eight repositories below `repos`."""

    def make(count: int) -> list[Path]:
        return [make_repository(tmp_path / "repos" / f"r{number:03d}", number) for number in range(count)]

    return make


@pytest.fixture
def origin(tmp_path: Path, environment: dict[str, str]) -> Callable[..., str]:
    """`origin("name")` makes a repository with a commit to fetch, and gives what git prints for further words."""

    def git(name: str, *words: str) -> str:
        root = tmp_path / "origins" / name
        if not root.exists():
            make_repository(root)
            for command in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-q", "-m", "first"]):
                subprocess.run(["git", "-C", str(root), *command], env=environment, check=True, capture_output=True)
        if not words:
            return root.as_uri()
        done = subprocess.run(
            ["git", "-C", str(root), *words], env=environment, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    return git


def wait_for(condition: Callable[[], bool], seconds: float = WAIT) -> None:
    """Until the condition holds; an error when it does not in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.01)


def tree(folder: Path) -> dict[str, bytes]:
    """The bytes of every file below a folder, by its path."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}
