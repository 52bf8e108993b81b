"""No test writes into the state directory of whoever runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session", autouse=True)
def state_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("ML_ENGINEER_HOME")
    os.environ["ML_ENGINEER_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["ML_ENGINEER_HOME"]
    else:
        os.environ["ML_ENGINEER_HOME"] = before
