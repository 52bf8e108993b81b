"""A run of a chat on a small repository that has been surveyed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_engineer.agent.runs import Run
from ml_engineer.assessment.assess import assess
from tests.support.conversation import make_repository


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return assess(make_repository(tmp_path_factory.mktemp("assessed") / "repository")).model_dump_json().encode()


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def run(root: Path, survey: bytes) -> Iterator[Run]:
    made = Run.create({"mode": "chat", "target": str(root), "ask_peers": False})
    made.write("survey.json", survey)
    yield made
    made.close()
