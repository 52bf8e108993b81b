"""A run of a chat on a small repository that has been surveyed."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from ml_engineer.agent.runs import Run
from tests.support.conversation import begun, make_repository, surveyed


@pytest.fixture(scope="module")
def survey(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return surveyed(tmp_path_factory.mktemp("assessed"))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return make_repository(tmp_path / "repository")


@pytest.fixture
def run(root: Path, survey: bytes) -> Iterator[Run]:
    with begun(root, survey) as made:
        yield made
