"""Sites that share a root cause, put together."""

from __future__ import annotations

from collections.abc import Iterable

from ml_engineer.assessment.rule import Site


def per_file(sites: Iterable[Site]) -> list[list[Site]]:
    """The sites in one list for each file, files in the order of their first site."""
    groups: dict[str, list[Site]] = {}
    for site in sites:
        groups.setdefault(site.path, []).append(site)
    return list(groups.values())
