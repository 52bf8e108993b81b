"""What one entry of the tables of removed APIs says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

State = Literal["removed", "changed", "deprecated"]


@dataclass(frozen=True, slots=True)
class Removed:
    """`since` holds (distribution, first version without it) pairs; all that are declared must allow that version."""

    name: str  # dotted name; everything below it is gone too
    since: tuple[tuple[str, str], ...]
    instead: str
    keyword: str = ""
    value: object = None  # only for this value of the keyword
    state: State = "removed"
    family: str = ""  # entries of one family in one file are one finding
    unless: str = ""  # not where this keyword is given, too


def names(
    library: str, version: str, listed: str, instead: str = "", prefix: str = "", family: str = ""
) -> list[Removed]:
    """Entries for `name` or `name>replacement`, separated by blanks."""
    found = []
    for item in listed.split():
        name, _, new = item.partition(">")
        found.append(Removed(f"{prefix}{name}", ((library, version),), new or instead, family=family))
    return found
