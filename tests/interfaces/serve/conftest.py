"""Repositories within and outside the folders that a server may use, and one server for all tests that only read."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.mcp_server import HttpServer, http_server
from tests.support.review import make_prototype


@dataclass(frozen=True)
class Place:
    """`root` is what the server may use: the repository `prototype`, and `escape`, a link to `outside`."""

    root: Path
    home: Path
    outside: Path


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("place")
    root = folder / "allowed"
    root.mkdir()
    make_prototype(root / "prototype")
    outside = make_prototype(folder / "outside")
    (root / "escape").symlink_to(outside)
    return Place(root, folder / "home", outside)


@pytest.fixture(scope="module")
def server(place: Place) -> Iterator[HttpServer]:
    """A read-only server over HTTP, without a token and without a model."""
    with http_server(place.root, place.home) as running:
        yield running


@pytest.fixture(scope="module")
def large(place: Place) -> Path:
    """A repository whose review takes seconds."""
    body = "\n".join(
        f"def f{number}(x):\n    y = x + {number}\n    for k in range(10):\n        y += k * x\n    return y\n"
        for number in range(80)
    )
    folder = place.root / "large"
    folder.mkdir()
    for number in range(60):
        (folder / f"module_{number}.py").write_text(f"import numpy as np\n\n{body}")
    return folder
