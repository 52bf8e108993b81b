"""No test writes into the state directory of whoever runs them, nor into the repository."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.support.console import Console
from tests.support.killed import asking

# A busy machine is no fault of what is tested. What fails is printed with what repeats it: nothing is kept on the disk.
settings.register_profile(
    "suite", deadline=None, suppress_health_check=[HealthCheck.too_slow], database=None, print_blob=True
)
settings.load_profile("suite")

# A shell starts what it puts in the background with Ctrl-C ignored, and children would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


# Files with tests of many seconds. They are begun first, so that at the end no worker is alone with one of them.
LONG = (
    "interfaces/batch/test_cluster.py",
    "agent/test_implement_kill.py",
    "agent/test_review_kill.py",
    "agent/test_kill.py",
    "agent/test_session_kill.py",
    "agent/test_scripts.py",
    "interfaces/batch/test_with_model.py",
    "interfaces/batch/test_model_batches.py",
    "interfaces/batch/test_poison.py",
    "interfaces/serve/test_acp_hostile.py",
)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: not item.path.as_posix().endswith(LONG))


@pytest.fixture(scope="session", autouse=True)
def state_directory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    before = os.environ.get("ML_ENGINEER_HOME")
    os.environ["ML_ENGINEER_HOME"] = str(tmp_path_factory.mktemp("state"))
    yield
    if before is None:
        del os.environ["ML_ENGINEER_HOME"]
    else:
        os.environ["ML_ENGINEER_HOME"] = before


@pytest.fixture(scope="session")
def console(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Console]:
    """Runs the console script without its imports, in a process of its own each time."""
    with asking("tests.support.console") as ask:
        yield Console(ask, tmp_path_factory.mktemp("console"))
