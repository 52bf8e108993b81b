"""The console script, in a child process with a home of its own."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.console import Console, Result, clean_environment

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


@pytest.fixture
def environment(home: Path) -> dict[str, str]:
    return clean_environment(home)


@pytest.fixture
def run(console: Console, environment: dict[str, str]) -> Callable[..., Result]:
    def call(*arguments: str | Path, cwd: Path | None = None, **more: str) -> Result:
        return console.run(arguments, environment | more, cwd)

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
