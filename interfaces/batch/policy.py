"""What an organisation asks of its repositories, in a file, and whether a batch keeps it.

    [require]                       of each repository
    readiness = 60                  per cent of the applicable checks that hold
    ml_test_score = 1.0             0 to 7
    steps = { 5 = 70, 7 = 50 }      readiness of a step, where one of its checks applies

    [forbid]
    rules = ["MLE0506", "MLE1010"]

    [[exception]]                   puts findings aside, for [forbid] and for --fail-on, to the end of that day (UTC)
    repository = "churn*"           a pattern on the name or the place
    rule = "MLE0506"
    reason = "behind the gateway until the move"
    until = 2026-12-31

    policy = read_policy(Path("policy.toml"))
    verdict = policy.judge(summary.repositories, faults, fail_on=Severity.HIGH, today=date)

An exception that has expired counts for nothing and is named. A readiness cannot be excepted.
"""

from __future__ import annotations

import datetime
import fnmatch
import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, StringConstraints, ValidationError, field_validator

from ml_engineer.agent.gate import MODEL_RULE
from ml_engineer.assessment.rules_index import load as load_rules
from ml_engineer.interfaces.batch.summary import Breach, ExceptionState, Fault, Row, Verdict
from ml_engineer.report.schema import STEP_NAMES, Model, Severity
from ml_engineer.report.text import number, one_line, plural

Percent = Annotated[int, Field(ge=0, le=100, strict=True)]
Words = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


class PolicyError(Exception):
    """The policy cannot be used. The message names the file and the place, and says what is allowed."""


def _known_rule(rule: str) -> str:
    known = {info.id for info in load_rules()} | {f"{MODEL_RULE}{step:02d}" for step in STEP_NAMES}
    if rule not in known:
        raise ValueError(f"there is no rule {rule}; `ml-engineer rules` lists all")
    return rule


class Require(Model):
    readiness: Percent | None = None
    ml_test_score: Annotated[float, Field(ge=0, le=7, strict=True)] | None = None
    steps: dict[Annotated[int, Field(ge=1, le=10)], Percent] = {}


class Forbid(Model):
    rules: list[str] = []

    @field_validator("rules")
    @classmethod
    def _known(cls, rules: list[str]) -> list[str]:
        return [_known_rule(rule) for rule in rules]


class Exempt(Model):
    """An exception: this rule may be broken there, for that reason, until then."""

    repository: Words
    rule: str
    reason: Words
    until: datetime.date

    _known = field_validator("rule")(_known_rule)

    def covers(self, row: Row, fault: Fault) -> bool:
        named = any(fnmatch.fnmatchcase(text, self.repository) for text in (row.name, row.place))
        return named and fault.rule == self.rule


class Policy(Model):
    """See the module. Empty, it asks for nothing but what `fail_on` does."""

    require: Require = Require()
    forbid: Forbid = Forbid()
    exception: list[Exempt] = []

    @property
    def demands(self) -> bool:
        """Whether it asks for anything."""
        return self.require != Require() or bool(self.forbid.rules)

    def judge(
        self,
        rows: Sequence[Row],
        faults: Mapping[str, Sequence[Fault]],
        *,
        fail_on: Severity | None,
        today: datetime.date,
    ) -> Verdict:
        """Whether the repositories keep it. `faults` by the row's folder."""
        breaches: list[Breach] = []
        aside: Counter[int] = Counter()  # findings by the position of the exception
        for row in rows:
            counting = []
            for fault in faults.get(row.folder, ()):
                covering = [at for at, one in enumerate(self.exception) if one.covers(row, fault)]
                aside.update(covering)
                if all(self.exception[at].until < today for at in covering):
                    counting.append(fault)
            if row.state in ("reviewed", "partial"):
                breaches += self._breaches(row, counting, fail_on)
        whole = bool(rows) and all(row.state == "reviewed" for row in rows)
        return Verdict(
            state="failed" if breaches else "passed" if whole else "incomplete",
            day=today.isoformat() if self.exception else None,
            fail_on=fail_on,
            breaches=breaches,
            exceptions=[_state(one, aside[at], today) for at, one in enumerate(self.exception)],
        )

    def _breaches(self, row: Row, faults: Sequence[Fault], fail_on: Severity | None) -> Iterator[Breach]:
        def breach(kind: Any, asked: str, text: str) -> Breach:
            return Breach(repository=row.name, folder=row.folder, kind=kind, asked=asked, text=text)

        if fail_on is not None:
            count = sum(fault.severity.rank <= fail_on.rank for fault in faults)
            if count:
                text = f"{plural(count, 'finding')} at or above {fail_on}"
                yield breach("severity", f"no finding at or above {fail_on}", text)
        rules = Counter(fault.rule for fault in faults)
        for rule in dict.fromkeys(self.forbid.rules):
            if rules[rule]:
                text = f"{rule} is forbidden: {plural(rules[rule], 'finding')}"
                yield breach("rule", f"no finding of {rule}{_titled(rule)}", text)
        asked = self.require
        if asked.readiness is not None and (row.readiness is None or row.readiness < asked.readiness):
            found = "unknown, for no check applies" if row.readiness is None else f"{row.readiness} %"
            text = f"readiness is {found}; required are {asked.readiness} %"
            yield breach("readiness", f"a readiness of {asked.readiness} %", text)
        if asked.ml_test_score is not None and (row.ml_test_score or 0.0) < asked.ml_test_score:
            wanted, found = number(asked.ml_test_score), number(row.ml_test_score or 0.0)
            text = f"ML Test Score is {found}; required is {wanted}"
            yield breach("ml_test_score", f"an ML Test Score of {wanted}", text)
        reached = {score.step: score.readiness for score in row.steps}
        for step, least in sorted(asked.steps.items()):
            value = reached.get(step)
            if value is not None and value < least:
                name = STEP_NAMES[step]
                text = f"readiness of step {step}, {name}, is {value} %; required are {least} %"
                yield breach("step", f"a readiness of {least} % in step {step}, {name}", text)


def _titled(rule: str) -> str:
    """The title of a rule behind a colon, where it has one of its own."""
    return next((f": {info.title}" for info in load_rules() if info.id == rule), "")


def _state(one: Exempt, findings: int, today: datetime.date) -> ExceptionState:
    return ExceptionState(
        repository=one.repository,
        rule=one.rule,
        reason=one.reason,
        until=one.until.isoformat(),
        state="expired" if one.until < today else "used" if findings else "unused",
        findings=findings,
    )


# --- the file ---------------------------------------------------------------------------------------------------------


_TABLES: dict[str, type[Model]] = {"": Policy, "require": Require, "forbid": Forbid, "exception": Exempt}


def read_policy(path: Path) -> Policy:
    """The policy in a TOML file. Raises PolicyError, with every mistake in it."""
    try:
        table = tomllib.loads(path.read_text("utf-8"))
    except OSError as error:
        raise PolicyError(f"{path}: the policy cannot be read ({error.strerror})") from error
    except ValueError as error:  # also what is not UTF-8
        raise PolicyError(f"{path}: the policy is not TOML ({one_line(str(error))})") from error
    try:
        return Policy.model_validate(table)
    except ValidationError as error:
        raise PolicyError("\n".join(f"{path}: {_mistake(problem)}" for problem in error.errors())) from error


def _mistake(problem: Any) -> str:
    """One mistake in words: where it stands, and what is allowed there."""
    last = problem["loc"][-1]
    where = one_line(".".join(str(part + 1 if isinstance(part, int) else part) for part in problem["loc"]))
    if problem["type"] == "extra_forbidden":
        inside = problem["loc"][0] if len(problem["loc"]) > 1 else ""
        allowed = ", ".join(_TABLES[inside].model_fields)
        return f"{one_line(str(last))} is not known in {inside or 'a policy'}; there are {allowed}"
    if problem["type"] == "missing":
        return f"{where} is missing; an exception has {', '.join(Exempt.model_fields)}"
    return f"{where}: {one_line(problem['msg'].removeprefix('Value error, '))}"
