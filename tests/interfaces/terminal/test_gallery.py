"""The pictures of the gallery are those that the scenes draw, and each is shown."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.interfaces.terminal.conftest import GALLERY

ROOT = GALLERY.parents[1]
DRAWN = {
    name
    for scene in Path(__file__).parent.glob("test_*.py")
    for name in re.findall(r'picture\(\w+, "([a-z]+)"', scene.read_text())
}


def test_every_picture_is_drawn_by_a_scene_and_shown() -> None:
    assert {path.stem for path in GALLERY.glob("*.svg")} == DRAWN
    shown = set(re.findall(r"\((\w+)\.svg\)", (GALLERY / "README.md").read_text()))
    assert shown == DRAWN
    assert set(re.findall(r"docs/gallery/(\w+)\.svg", (ROOT / "README.md").read_text())) <= DRAWN


@pytest.mark.parametrize("name", sorted(DRAWN))
def test_a_picture_is_an_svg_that_names_no_place_of_a_machine(name: str) -> None:
    text = (GALLERY / f"{name}.svg").read_text()
    assert ElementTree.fromstring(text).tag.endswith("svg")
    assert not re.search(r"/(tmp|root|home|work)/", text)
