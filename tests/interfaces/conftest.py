"""The real console script, in a child process with a home of its own."""

from __future__ import annotations

import os
import subprocess
import sysconfig
from collections.abc import Callable
from pathlib import Path

import pytest

SCRIPT = Path(sysconfig.get_path("scripts")) / "ml-engineer"
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"
Result = subprocess.CompletedProcess[str]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    """Nothing of the developer's own machine: no key, no home, no settings."""
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "LANG", "LC_ALL", "TMPDIR")}
    return kept | {"ML_ENGINEER_HOME": str(home), "HOME": str(home), "COLUMNS": "100"}


@pytest.fixture
def run(environment: dict[str, str]) -> Callable[..., Result]:
    def call(*arguments: str | Path, cwd: Path | None = None, **more: str) -> Result:
        return subprocess.run(
            [SCRIPT, *map(str, arguments)],
            capture_output=True,
            text=True,
            errors="surrogateescape",
            stdin=subprocess.DEVNULL,
            cwd=cwd,
            env=environment | more,
            timeout=120,
            check=False,
        )

    return call


@pytest.fixture
def prototype(tmp_path: Path) -> Path:
    """A small repository with one high finding on its serving path."""
    root = tmp_path / "prototype"
    root.mkdir()
    (root / "app.py").write_text(
        "import pickle\n\nfrom flask import Flask, jsonify, request\n\napp = Flask(__name__)\n"
        "model = pickle.load(open('model.pkl', 'rb'))\n\n\n@app.route('/predict', methods=['POST'])\n"
        "def predict():\n    return jsonify(model.predict(request.json['x']).tolist())\n\n\n"
        "if __name__ == '__main__':\n    app.run(debug=True)\n"
    )
    return root
