"""Modules that are set aside: nothing runs before it is used, and then it is the real thing everywhere."""

from __future__ import annotations

import importlib
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from ml_engineer.agent.later import Aside, Later, forget

HEAVY = """
import threading
runs = globals().get("runs", 0) + 1
thread = threading.current_thread().name
LIMIT = 7
class Trouble(Exception):
    pass
class Thing:
    def __init__(self, size=1):
        self.size = size
def double(number):
    return 2 * number
"""
USER = """
from heavy_one import LIMIT, Thing, Trouble, double
Either = int | Thing
def narrow(value) -> Either:
    return "thing" if isinstance(value, Thing) else "other"
def careful():
    try:
        raise Trouble
    except Trouble:
        return "caught"
"""


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    (tmp_path / "heavy_one.py").write_text(HEAVY)
    (tmp_path / "user_one.py").write_text(USER)
    (tmp_path / "heavy_pack").mkdir()
    (tmp_path / "heavy_pack" / "__init__.py").write_text("from heavy_pack.part import value\nwhole = True\n")
    (tmp_path / "heavy_pack" / "part.py").write_text("value = 3\n")
    (tmp_path / "broken_one.py").write_text(
        "import os\nif not os.environ.get('MENDED'):\n    raise OSError('no disk')\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    yield tmp_path
    forget("heavy_one", "user_one", "heavy_pack", "broken_one")


def user_of_heavy() -> tuple[Any, ModuleType]:
    with Aside("heavy_one"):
        user = importlib.import_module("user_one")
    return user, sys.modules["heavy_one"]


def ran(module: ModuleType) -> bool:
    return "runs" in vars(module)


def test_an_import_in_the_block_runs_nothing(world: Path) -> None:
    user, heavy = user_of_heavy()
    assert isinstance(user.double, Later)
    assert not ran(heavy)
    assert user.narrow(3) == "other"
    assert not ran(heavy)


@pytest.mark.parametrize(
    "use",
    [
        lambda user: user.double(4) == 8,
        lambda user: user.Thing(5).size == 5,
        lambda user: user.Thing.__name__ == "Thing",
        lambda user: user.LIMIT.bit_length() == 3,
    ],
)
def test_using_a_name_runs_the_module_and_mends_its_importers(world: Path, use: Any) -> None:
    user, heavy = user_of_heavy()
    assert use(user)
    assert heavy.runs == 1
    assert user.LIMIT == 7
    assert user.Thing is heavy.Thing
    assert user.careful() == "caught"
    assert user.narrow(heavy.Thing()) == "thing"
    assert isinstance(heavy.Thing(), user.Either)


def test_whoever_asks_after_the_block_gets_the_real_thing(world: Path) -> None:
    user, heavy = user_of_heavy()
    from heavy_one import Thing  # type: ignore[import-not-found]  # made by the fixture

    assert isinstance(Thing, type)
    assert user.Thing is Thing
    assert type(heavy) is ModuleType
    assert heavy.__spec__ is not None
    assert importlib.reload(heavy).runs == 2


def test_a_name_can_be_a_base_class(world: Path) -> None:
    user, heavy = user_of_heavy()

    class Own(user.Thing):  # type: ignore[misc,name-defined]  # the class is made by the fixture
        pass

    assert issubclass(Own, heavy.Thing)
    assert Own(4).size == 4


def test_a_module_that_has_run_is_left_alone(world: Path) -> None:
    heavy = importlib.import_module("heavy_one")
    user, again = user_of_heavy()
    assert again is heavy
    assert user.Thing is heavy.Thing


def test_a_part_of_a_package_does_not_run_the_package(world: Path) -> None:
    with Aside("heavy_pack"):
        part = importlib.import_module("heavy_pack.part")
    package: Any = sys.modules["heavy_pack"]
    assert part.value == 3
    assert "whole" not in vars(package)
    assert package.whole
    assert package.part is part


def test_a_name_that_there_is_not_is_an_error(world: Path) -> None:
    _, heavy = user_of_heavy()
    with pytest.raises(ImportError, match="nonsense"):
        from heavy_one import nonsense  # noqa: F401  # the import is what is tested
    assert ran(heavy)


def test_a_module_that_fails_can_be_asked_again(world: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with Aside("broken_one"):
        from broken_one import os as later  # type: ignore[import-not-found]  # made by the fixture
    with pytest.raises(OSError, match="no disk"):
        later.getcwd()
    monkeypatch.setenv("MENDED", "1")
    assert later.getcwd()


def test_threads_that_ask_at_once_run_it_once(world: Path) -> None:
    user, heavy = user_of_heavy()
    double, start, got = user.double, threading.Barrier(8), []

    def ask() -> None:
        start.wait(30)
        got.append(double(2))

    threads = [threading.Thread(target=ask) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert got == [4] * 8
    assert heavy.runs == 1
