"""This batch against an earlier one: what is new, what is fixed, what has moved.

    earlier = read_earlier(Path("last-week"))          the folder of a batch, or its summary.json
    comparison = compare(earlier, rows, faults)
    text = as_text(comparison)                         changes.txt

A repository is the same by its folder among the reports; else by place and scope (its revision was pinned to another
commit); else by a name that only one on each side has (it lies elsewhere now). A finding is the same by its
fingerprint, which holds no line: at another path or line it has moved.
"""

from __future__ import annotations

import csv
import hashlib
import io
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from pathlib import Path, PurePosixPath
from typing import Literal

from pydantic import ValidationError

from ml_engineer.interfaces.batch.summary import (
    FINDINGS,
    SUMMARY,
    Change,
    Comparison,
    Difference,
    Fault,
    Row,
    Summary,
    harmless,
)
from ml_engineer.report.schema import Severity
from ml_engineer.report.text import one_line, place, plural

_COVERED = ("reviewed", "partial")
Pair = tuple[Row | None, Row | None]  # earlier, now


class CompareError(Exception):
    """There is nothing to compare with. The message says what is missing."""


@dataclass(frozen=True)
class Earlier:
    """An earlier batch. `faults` by the row's folder; `digest` of its summary.json."""

    digest: str
    summary: Summary
    faults: Mapping[str, Sequence[Fault]]


def read_earlier(where: Path) -> Earlier:
    """What an earlier batch has left. Raises CompareError."""
    folder = where.parent if where.name == SUMMARY else where
    try:
        data = (folder / SUMMARY).read_bytes()
        with (folder / FINDINGS).open(encoding="utf-8", newline="") as stream:
            faults = _faults(stream)
    except OSError as error:
        raise CompareError(
            f"{error.filename}: there is no earlier batch ({error.strerror}); give its folder, with {SUMMARY} "
            f"and {FINDINGS}"
        ) from error
    except (ValueError, KeyError, csv.Error) as error:
        raise CompareError(f"{folder / FINDINGS}: this is not what a batch has written ({_first(error)})") from error
    try:
        summary = Summary.model_validate_json(data)
    except ValidationError as error:
        raise CompareError(
            f"{folder / SUMMARY}: this is not what this version of ml-engineer writes ({_first(error)}); "
            f"make the earlier batch again"
        ) from error
    if summary.totals.findings != sum(map(len, faults.values())):
        raise CompareError(f"{folder}: {FINDINGS} is not of the same batch as {SUMMARY}, or is cut off; make it again")
    return Earlier(hashlib.sha256(data).hexdigest(), summary, faults)


def _faults(lines: Iterable[str]) -> dict[str, list[Fault]]:
    found: dict[str, list[Fault]] = defaultdict(list)
    for line in csv.DictReader(lines, strict=True):
        fields = {key: line[key] for key in ("rule", "step", "severity", "confidence", "title", "path", "sites")}
        at = {"line": line["line"] or None, "cell": line["cell"] or None, "fingerprint": line["fingerprint"]}
        found[PurePosixPath(line["report"]).parent.name].append(Fault.model_validate(fields | at))
    return found


def _first(error: Exception) -> str:
    """The first thing that is wrong, on one line."""
    if isinstance(error, ValidationError):
        problem = error.errors(include_url=False)[0]
        return one_line(f"{'.'.join(map(str, problem['loc']))}: {problem['msg']}")
    return one_line(f"column {error} is missing" if isinstance(error, KeyError) else str(error))


# --- the comparison ---------------------------------------------------------------------------------------------------


def compare(earlier: Earlier, rows: Sequence[Row], faults: Mapping[str, Sequence[Fault]]) -> Comparison:
    """Everything that is different. `faults` by the row's folder."""
    pairs = _pairs(earlier.summary.repositories, rows)
    all_of_them = [_difference(pair, earlier.faults, faults) for pair in pairs]
    compared = [(pair, one) for pair, one in zip(pairs, all_of_them, strict=True) if one.state == "compared"]
    changes = [change for _, one in compared for change in one.changes]
    kinds = Counter(change.kind for change in changes)
    states = Counter(one.state for one in all_of_them)
    new = Counter(change.severity for change in changes if change.kind == "new")
    rules = sorted({row.rules_version for row in rows if row.rules_version})
    return Comparison(
        earlier=earlier.digest,
        rules_changed=rules != earlier.summary.rules_versions,
        compared=states["compared"],
        came=states["came"],
        went=states["went"],
        unknown=states["unknown"],
        new=kinds["new"],
        fixed=kinds["fixed"],
        moved=kinds["moved"],
        readiness=(_mean(before for (before, _), _ in compared), _mean(now for (_, now), _ in compared)),
        new_by_severity={severity: new[severity] for severity in Severity},
        repositories=sorted(filter(_is_different, all_of_them), key=_worst),
    )


def _pairs(before: Sequence[Row], now: Sequence[Row]) -> list[Pair]:
    """Each repository of both sides once, with what it was."""
    found: list[Pair] = []
    left, right = list(before), list(now)
    keys: tuple[Callable[[Row], object], ...] = (
        lambda row: row.folder, lambda row: (row.place, row.scope), lambda row: row.name,
    )  # fmt: skip
    for key in keys:
        one, other = _unique(left, key), _unique(right, key)
        same = [(one[value], other[value]) for value in other if value in one]
        found += same
        taken = {id(row) for pair in same for row in pair}
        left, right = ([row for row in side if id(row) not in taken] for side in (left, right))
    return found + [(row, None) for row in left] + [(None, row) for row in right]


def _unique(rows: Sequence[Row], key: Callable[[Row], object]) -> dict[object, Row]:
    counts = Counter(map(key, rows))
    return {key(row): row for row in rows if counts[key(row)] == 1}


def _difference(
    pair: Pair, earlier: Mapping[str, Sequence[Fault]], faults: Mapping[str, Sequence[Fault]]
) -> Difference:
    before, now = pair
    row = now or before
    assert row is not None
    state: Literal["compared", "came", "went"] = "came" if before is None else "went" if now is None else "compared"
    one = Difference(
        name=row.name,
        folder=row.folder,
        state=state,
        readiness=(before.readiness if before else None, now.readiness if now else None),
        ml_test_score=(before.ml_test_score if before else None, now.ml_test_score if now else None),
    )
    if before is None or now is None:
        return one
    lost = [
        (side, when) for side, when in ((before, "in the earlier batch"), (now, "now")) if side.state not in _COVERED
    ]
    if lost:
        side, when = lost[-1]
        return one.model_copy(update={"state": "unknown", "error": f"{side.state} {when}: {side.error or 'no report'}"})
    steps = {score.step: score.readiness for score in before.steps}
    changed = {
        score.step: (steps.get(score.step), score.readiness)
        for score in now.steps
        if steps.get(score.step) != score.readiness
    }
    changes = list(_changes(earlier.get(before.folder, ()), faults.get(now.folder, ())))
    return one.model_copy(
        update={"partial": "partial" in (before.state, now.state), "steps": changed, "changes": changes}
    )


def _changes(before: Sequence[Fault], now: Sequence[Fault]) -> Iterator[Change]:
    """In the order of the findings, which is worst first; what is fixed comes last."""
    old, new = _by_fingerprint(before), _by_fingerprint(now)
    gone = []
    for fingerprint in dict.fromkeys([*new, *old]):
        for was, fault in zip_longest(old.get(fingerprint, ()), new.get(fingerprint, ())):
            if fault is None:
                gone.append(_change("fixed", was))
            elif was is None:
                yield _change("new", fault)
            elif _place(was) != _place(fault):
                yield _change("moved", fault).model_copy(update={"was": _place(was)})
    yield from gone


def _by_fingerprint(faults: Sequence[Fault]) -> dict[str, list[Fault]]:
    found: dict[str, list[Fault]] = defaultdict(list)
    for fault in faults:
        found[fault.fingerprint].append(fault)
    return found


def _change(kind: Literal["new", "fixed", "moved"], fault: Fault) -> Change:
    return Change(
        kind=kind,
        rule=fault.rule,
        severity=fault.severity,
        title=fault.title,
        place=_place(fault),
        fingerprint=fault.fingerprint,
    )


def _place(fault: Fault) -> str:
    """As findings.csv has it, so that both sides can be held against each other."""
    path = str(harmless(fault.path)).removeprefix("'")
    return place(path, fault.line, None, fault.cell) if fault.line is not None else path


def _mean(rows: Iterable[Row | None]) -> int | None:
    values = [row.readiness for row in rows if row is not None and row.readiness is not None]
    return round(sum(values) / len(values)) if values else None


def _is_different(one: Difference) -> bool:
    figures = one.readiness[0] != one.readiness[1] or one.ml_test_score[0] != one.ml_test_score[1]
    return one.state != "compared" or bool(one.changes or one.steps) or figures


def _worst(one: Difference) -> tuple[object, ...]:
    order = ["unknown", "compared", "came", "went"]
    return (order.index(one.state), -one.count("new"), -one.count("fixed"), -one.count("moved"), one.name, one.folder)


# --- as text ----------------------------------------------------------------------------------------------------------


def headline(found: Comparison) -> str:
    """The comparison in one line."""
    counts = f"{found.new:,} new, {found.fixed:,} fixed, {found.moved:,} moved"
    others = [(found.came, "came"), (found.went, "went"), (found.unknown, "could not be compared")]
    more = "".join(f"; {plural(count, 'repository', 'repositories')} {word}" for count, word in others if count)
    before, now = found.readiness
    means = f"; readiness {_percent(before)} → {_percent(now)}" if before != now else ""
    return f"{plural(found.compared, 'repository', 'repositories')} compared: {counts}{means}{more}"


def as_text(found: Comparison) -> str:
    """Everything, a repository after the other, for a mail or a ticket."""
    out = io.StringIO()
    print(headline(found), file=out)
    if found.rules_changed:
        print(RULES_CHANGED, file=out)
    for one in found.repositories:
        print(f"\n{one_line(one.name)}: {_said(one)}", file=out)
        for change in one.changes:
            where = f"{one_line(change.was)} → {one_line(change.place)}" if change.was else one_line(change.place)
            print(f"  {change.kind:5}  {change.severity:8}  {change.rule}  {one_line(change.title)}  {where}", file=out)
    return out.getvalue()


RULES_CHANGED = "The rules are others than they were: a finding may be new or gone though nothing was changed."
PARTIAL = "looked at in part, so that fixed may only be unseen"


def _said(one: Difference) -> str:
    if one.state == "unknown":
        return f"not compared, {one_line(one.error)}"
    if one.state != "compared":
        return {"came": "was not in the earlier batch", "went": "is not in this batch"}[one.state]
    parts = [f"{one.count(kind)} {kind}" for kind in ("new", "fixed", "moved") if one.count(kind)]
    if one.readiness[0] != one.readiness[1]:
        parts.append(f"readiness {_percent(one.readiness[0])} → {_percent(one.readiness[1])}")
    if one.ml_test_score[0] != one.ml_test_score[1]:
        parts.append(f"ML Test Score {one.ml_test_score[0]:g} → {one.ml_test_score[1]:g}")
    parts += [f"step {step} {_percent(a)} → {_percent(b)}" for step, (a, b) in one.steps.items()]
    return ", ".join([*parts, *([PARTIAL] if one.partial else [])])


def _percent(value: int | None) -> str:
    return "–" if value is None else f"{value} %"
