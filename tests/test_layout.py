"""The package list, the links and the folders say the same; the lock names no registry."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ROOMS = ("agent", "assessment", "delegation", "interfaces", "prompts", "report", "tools")


def test_every_folder_with_an_init_is_in_the_package_list():
    folders = {
        f"ml_engineer.{'.'.join(p.parent.relative_to(ROOT).parts)}"
        for r in ROOMS
        for p in (ROOT / r).rglob("__init__.py")
    }
    assert set(PYPROJECT["tool"]["setuptools"]["packages"]) == folders | {"ml_engineer"}


def test_every_room_is_mapped_and_linked():
    mapping = PYPROJECT["tool"]["setuptools"]["package-dir"]
    assert mapping == {f"ml_engineer.{room}": room for room in ROOMS}
    for room in ROOMS:
        link = ROOT / "ml_engineer" / room
        assert link.is_symlink()
        assert str(link.readlink()) == f"../{room}"


def test_the_lock_has_hashes_and_names_no_registry():
    lock = (ROOT / "requirements.lock").read_text()
    pins = re.findall(r"^[\w.-]+==", lock, re.M)
    assert len(pins) > 50
    assert not re.search(r"https?://|--index-url|--find-links", lock)
    for block in re.split(r"\n(?=[\w.-]+==)", lock.strip()):
        assert "--hash=sha256:" in block, block


def test_no_file_of_ours_is_above_six_hundred_lines():
    long = {
        str(path.relative_to(ROOT)): lines
        for room in (*ROOMS, "tests", "benchmarks")
        for path in (ROOT / room).rglob("*.py")
        if (lines := len(path.read_text().splitlines())) > 600
    }
    assert long == {}
