"""Patterns of dotted names: a star stands for anything, also for nothing; everything else for itself."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.assessment.repo import matches

NAMES = st.text("ab.()", max_size=6)
PATTERNS = st.lists(st.text("ab.*()", min_size=1, max_size=5), min_size=1, max_size=4)


@given(NAMES, PATTERNS)
def test_a_name_matches_as_the_expression_says(name: str, patterns: list[str]) -> None:
    expected = any(re.fullmatch(".*".join(map(re.escape, pattern.split("*"))), name) for pattern in patterns)
    assert matches(name, *patterns) == expected


def test_where_the_stars_stand() -> None:
    assert matches("torch.load", "torch.load")
    assert matches("torch.load", "torch.*")
    assert matches("nn.Linear().to", "*().to", "x.y")
    assert matches("a.b.c", "a.*.c")
    assert matches("", "*")
    assert not matches("torch.loads", "torch.load")
    assert not matches("torch", "torch.*")
    assert not matches("torchXload", "torch.load")
