"""M1-16, second part: frames are merged without saying by what or how."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_KEYS = {"on", "left_on", "right_on", "left_index", "right_index"}


@rule(
    id="MLE0116",
    part="merge",
    name="merge-unset",
    step=1,
    severity=LOW,
    title="Frames are merged without naming the keys or the kind of join",
    why="pandas then joins on all common columns: a new column silently changes the result.",
    remedy="Say on=, how= and validate= (for example one_to_one), so that a surprise becomes an error.",
    source="Zhang et al., code smells for ML (2022); Sonar S6735",
    applies=lambda repo: any(True for _ in _merges(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    by_file: dict[str, list[Site]] = {}
    for call in _merges(repo):
        function = call.name == "pandas.merge"
        given = {k.arg for k in call.node.keywords}
        keyed = bool(given & _KEYS) or len(call.node.args) > (3 if function else 2)
        kind = "how" in given or len(call.node.args) > (2 if function else 1)
        if not (keyed and kind) and not call.has_unpacked_keywords:
            by_file.setdefault(call.module.path, []).append(call.site())
    for sites in by_file.values():
        yield Hit(sites)


def _merges(repo: Repo) -> Iterator[Call]:
    """Merges of pandas frames; an unknown receiver is one only where its keywords are those of pandas."""
    for call in repo.calls("pandas.merge", "*.merge", tests=False):
        named = {k.arg for k in call.node.keywords}
        if call.name.startswith("pandas.") or named & {"how", "left_on", "right_on", "left_index", "suffixes"}:
            yield call
