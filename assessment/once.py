"""Answers that are kept with the repository they are about.

    @once
    def on_import(repo: Repo) -> set[Module]: ...

works it out when it is first asked for, and gives the same object from then on, until the review is over.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_T = TypeVar("_T")


def once(resolve: Callable[[Repo], _T]) -> Callable[[Repo], _T]:
    """The resolver, asked once for each repository."""

    @functools.wraps(resolve)
    def kept(repo: Repo) -> _T:
        known: dict[Callable[[Repo], _T], _T] = repo.kept("once")
        if resolve not in known:
            known[resolve] = resolve(repo)
        return known[resolve]

    return kept
