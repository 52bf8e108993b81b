"""The evidence gate: what a model hands in for a step is believed as far as it can be confirmed, and no further.

    judgement = EvidenceGate(step, engine, checker, records, …).judge(submission)
    .record       the step's record with everything that holds
    .problems     a line for each row that does not, with what to do about it

The engine's findings and claims are the ground: a model adds to them and may doubt a finding, but removes none. A
doubted finding stays, with low confidence and the doubt in its text. A claim of the model replaces the engine's only
where its evidence carries it, and what the engine has seen is never talked away.
"""

from __future__ import annotations

import hashlib
import math
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import TypeVar

from ml_engineer.agent import boasts
from ml_engineer.agent.records import Records
from ml_engineer.agent.submission import ClaimRow, FindingRow, ReviewRow, Row, Submission
from ml_engineer.assessment.secrets import Secrets
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import (
    Absence,
    Claim,
    ClaimState,
    CommandRun,
    Confidence,
    Evidence,
    EvidenceCheck,
    Finding,
    Measurement,
    Place,
    Quote,
    Searched,
    StepRecord,
)

MODEL_RULE = "MODEL"  # + the step's number: the rule of findings that are a model's judgement
_SOURCE = "judgement of the model {model}, not a rule; the quoted lines were checked"
_PROSE = frozenset({".md", ".rst", ".txt", ".adoc", ".html", ""})
_SHORTEST = 3  # characters of a quote
_LONGEST = 2_000
E = TypeVar("E", Quote, CommandRun, Measurement)
_STRONG = (ClaimState.PRESENT, ClaimState.MEASURED, ClaimState.IMPLEMENTED)


class Unconfirmed(Exception):
    """Why a row cannot be believed, in words for the model."""


@dataclass(frozen=True)
class Judgement:
    """`record`: what holds, on top of the engine's record. `check`: what was looked at in the rows, and what fell."""

    record: StepRecord
    problems: list[str]
    check: EvidenceCheck


@dataclass
class EvidenceGate:
    """For one step. `owned` are its fields; `changed` the files that it has changed, `passed` the checks that it has
    passed: both empty in a review. `agent` names its records."""

    engine: StepRecord
    owned: tuple[str, ...]
    agent: str
    model: str
    checker: EvidenceChecker
    records: Records
    secrets: Secrets
    changed: frozenset[str] = frozenset()
    passed: tuple[CommandRun, ...] = ()
    _checked: int = field(default=0, init=False)
    _repaired: int = field(default=0, init=False)

    def judge(self, submission: Submission) -> Judgement:
        """Look at every row. Never raises for what a model sent."""
        self._checked = self._repaired = 0
        problems = list(submission.problems)
        findings = self._reviewed(submission.reviews, problems) + self._added(submission.findings, problems)
        claims = {**self.engine.claims, **self._claims(submission.claims, problems)}
        summary = self._summary(submission.summary, findings, claims, problems)
        record = self.engine.model_copy(update={"summary": summary, "findings": findings, "claims": claims})
        counts = EvidenceCheck(
            checked=self._checked, repaired=self._repaired, dropped=len(problems), dropped_items=problems
        )
        return Judgement(record, problems, counts)

    # --- findings -------------------------------------------------------------------------------------------------

    def _reviewed(self, rows: list[ReviewRow], problems: list[str]) -> list[Finding]:
        """The engine's findings, with what the model says of them."""
        findings = list(self.engine.findings)
        for number, row in enumerate(rows):
            try:
                at = self._number(row.finding, len(findings))
                findings[at] = self._with_review(findings[at], row)
            except Unconfirmed as why:
                problems.append(f"reviews[{number}] ({row.finding}): {why}")
        return findings

    @staticmethod
    def _number(name: str, count: int) -> int:
        digits = name.strip().lstrip("Ff#")
        if not digits.isdecimal() or not 1 <= int(digits) <= count:
            known = f"F1 to F{count}" if count else "none"
            raise Unconfirmed(f"there is no such finding; the brief has {known}")
        return int(digits) - 1

    def _with_review(self, finding: Finding, row: ReviewRow) -> Finding:
        reason = self.secrets.hide(row.reason)
        boast = boasts.unproved(reason, ran=False, known=[row.quote, finding.why, finding.title])
        if boast:
            raise Unconfirmed(boast)
        if row.verdict == "confirmed":
            if not row.quote:
                return finding
            quote = self._quote(row, note=f"confirmed by the model: {reason}")
            return finding.model_copy(update={"evidence": [*finding.evidence, quote]})
        if not row.quote:
            raise Unconfirmed("a doubt needs a quote of the code that speaks against the finding: path, line, quote")
        if _is_prose(row.path):
            raise Unconfirmed(f"{row.path} is prose: what it says about the code is no evidence; quote the code")
        quote = self._quote(row, note=f"speaks against it, says the model: {reason}")
        why = f"{finding.why} Disputed by the model {self.model}: {reason}"
        doubted = {"confidence": Confidence.LOW, "why": why, "evidence": [*finding.evidence, quote]}
        return finding.model_copy(update=doubted)

    def _added(self, rows: list[FindingRow], problems: list[str]) -> list[Finding]:
        """The model's own findings; rows with the same title are one finding with several places."""
        found: dict[str, Finding] = {}
        for number, row in enumerate(rows):
            try:
                key = " ".join(row.title.lower().split())
                known = found.get(key)
                quote = self._quote(row)
                if known is None:
                    found[key] = self._finding(row, quote)
                else:
                    found[key] = known.model_copy(update={"evidence": [*known.evidence, quote]})
            except Unconfirmed as why:
                problems.append(f"findings[{number}] ({row.title}): {why}")
        return list(found.values())

    def _finding(self, row: FindingRow, quote: Quote) -> Finding:
        for text in (row.title, row.why):
            boast = boasts.unproved(text, ran=False, known=[row.quote, *self._engine_texts()])
            if boast:
                raise Unconfirmed(boast)
        rule = f"{MODEL_RULE}{self.engine.step:02d}"
        anchor = f"{rule}|{quote.path}|{' '.join(quote.quote.split())}|{row.title.lower()}"
        return Finding(
            rule=rule,
            step=self.engine.step,
            severity=row.severity,
            confidence=Confidence.MEDIUM,  # a judgement; that the lines stand there is all that was checked
            title=self.secrets.hide(row.title),
            why=self.secrets.hide(row.why),
            remedy=self.secrets.hide(row.remedy),
            evidence=[quote],
            source=_SOURCE.format(model=self.model),
            fingerprint=hashlib.sha256(anchor.encode("utf-8", "replace")).hexdigest()[:32],
        )

    # --- claims ---------------------------------------------------------------------------------------------------

    def _claims(self, rows: list[ClaimRow], problems: list[str]) -> dict[str, Claim]:
        """Rows of the same field are one claim; one row that does not hold takes the others of its field with it."""
        fields = list(dict.fromkeys(row.field for row in rows))
        claims = {}
        for name in fields:
            same = [row for row in rows if row.field == name]
            try:
                owned = self._owned(name)
                claims[owned] = self._merged(owned, self._claim(same))
            except Unconfirmed as why:
                problems.append(f"claims ({name}): {why}")
        return claims

    def _owned(self, name: str) -> str:
        found = [one for one in self.owned if one.lower() == name.strip().lower()]
        if not found:
            known = ", ".join(self.owned) or "none: leave claims out"
            raise Unconfirmed(f"this step does not own that field; it owns {known}")
        return found[0]

    def _claim(self, rows: list[ClaimRow]) -> Claim:
        state, text = rows[0].state, self.secrets.hide(" ".join(dict.fromkeys(row.text.strip() for row in rows)))
        if any(row.state is not state for row in rows):
            raise Unconfirmed("its rows have different states; choose one")
        evidence = [one for row in rows for one in self._evidence(row)]
        runs = [one for one in evidence if isinstance(one, CommandRun)]
        if state in _STRONG and any(run.exit_code for run in runs):
            failed = next(run for run in runs if run.exit_code)
            raise Unconfirmed(f"`{failed.command}` ended with {failed.exit_code}; that proves nothing good")
        match state:
            case ClaimState.MEASURED:
                _require_measured(text, evidence)
            case ClaimState.IMPLEMENTED:
                evidence = [*evidence, *self._proof_of_change(evidence)]
            case ClaimState.PRESENT if not evidence:
                raise Unconfirmed("present needs a quote of what is there: path, line, quote")
            case ClaimState.ABSENT:
                evidence = self._proof_of_absence(rows, evidence)
        plan = state in (ClaimState.PROPOSED, ClaimState.UNKNOWN)
        measured = state is ClaimState.MEASURED  # its numbers have been held against the records above
        ran = measured or any(isinstance(one, CommandRun) for one in evidence)
        known = [*_texts(evidence), *self._engine_texts(), *([text] if measured else [])]
        boast = boasts.unproved(text, ran=ran, known=known, plan=plan)
        if boast:
            raise Unconfirmed(boast)
        return Claim(text=text, state=state, evidence=evidence)

    def _evidence(self, row: ClaimRow) -> list[Evidence]:
        found: list[Evidence] = []
        if row.quote.strip():
            found.append(self._quote(row))
        elif row.path and row.state is not ClaimState.ABSENT:
            raise Unconfirmed(f"a place in {row.path} needs its quote: copy the line as it stands there")
        if row.command:
            found.append(self._command(row.command))
        if row.measurement:
            wanted = " ".join(row.measurement.lower().split())
            same = [one for one in self.records.measurements(self.agent) if one.name.lower() == wanted]
            if not same:
                known = ", ".join(sorted({one.name for one in self.records.measurements(self.agent)})) or "none"
                raise Unconfirmed(f"no measurement {row.measurement!r} was made in this step (made: {known})")
            found.append(self._confirmed(same[-1]))
        return found

    def _command(self, command: str) -> CommandRun:
        run = self.records.command(self.agent, command)
        if run is None:
            raise Unconfirmed(f"`{command}` was not run in this step, so nothing follows from it")
        return self._confirmed(run)

    def _proof_of_change(self, evidence: list[Evidence]) -> list[CommandRun]:
        """A quote in a file that the step changed, and a command that passed after it: the step's agreed checks."""
        if not self.changed:
            raise Unconfirmed("nothing was changed in this step, so nothing is implemented; say proposed")
        if not any(isinstance(one, Quote) and one.path in self.changed for one in evidence):
            names = ", ".join(sorted(self.changed)[:8])
            raise Unconfirmed(f"implemented needs a quote in a file that this step changed: {names}")
        if not self.passed:
            raise Unconfirmed("no check of this step has passed, so nothing counts as implemented; say proposed")
        cited = {one.record for one in evidence if isinstance(one, CommandRun)}
        return [run for run in self.passed if run.record not in cited]

    def _proof_of_absence(self, rows: list[ClaimRow], evidence: list[Evidence]) -> list[Evidence]:
        engine = self.engine.claims.get(self._owned(rows[0].field))
        if engine is not None and engine.state is ClaimState.ABSENT:
            return list(engine.evidence)
        row = next((row for row in rows if row.searched), None)
        if row is None or row.searched is None:
            raise Unconfirmed("absent needs `searched`, a pattern that Grep or Glob did not find, and the place")
        search = self.records.search(self.agent, row.searched)
        if search is None:
            raise Unconfirmed(f"{row.searched!r} was not searched for in this step; use Grep, then cite the pattern")
        if search["total"]:
            raise Unconfirmed(f"the search for {row.searched!r} did find something: {', '.join(search['files'][:3])}")
        need = next((one for one in evidence if isinstance(one, Quote)), None)
        if need is None:
            raise Unconfirmed("absent needs the place that would need it: path, line and quote")
        place = Place(path=need.path, line=need.line_start, cell=need.cell, quote=need.quote, sha256=need.sha256)
        searched = Searched(patterns=[row.searched], files=[search["where"]])
        return [Absence(need=place, searched=searched)]

    def _merged(self, name: str, claim: Claim) -> Claim:
        """The model's claim on top of what the engine has seen."""
        engine = self.engine.claims.get(name)
        if engine is None or engine.state is ClaimState.UNKNOWN or claim.state is ClaimState.IMPLEMENTED:
            return claim
        if engine.state is ClaimState.ABSENT:
            if claim.state is ClaimState.PROPOSED:
                text = f"{claim.text} (Today: {engine.text})"
                return Claim(text=text, state=claim.state, evidence=[*engine.evidence, *claim.evidence])
            if claim.state is ClaimState.UNKNOWN:
                return engine
            if claim.state is ClaimState.PRESENT and all(_is_prose(getattr(e, "path", "x.py")) for e in claim.evidence):
                raise Unconfirmed(
                    "a search found nothing of the kind, and prose is no evidence; quote code or settings"
                )
            return claim
        if claim.state is ClaimState.ABSENT:
            where = next((f"{e.path}:{e.line_start}" for e in engine.evidence if isinstance(e, Quote)), "the code")
            raise Unconfirmed(f"it is there: {engine.text} ({where}); if it is not enough, add a finding")
        if claim.state is ClaimState.PROPOSED:
            text = f"{engine.text}. Proposed: {claim.text}"
            return engine.model_copy(update={"text": text, "evidence": [*engine.evidence, *claim.evidence]})
        return engine if claim.state is ClaimState.UNKNOWN else claim

    # --- evidence -------------------------------------------------------------------------------------------------

    def _quote(self, row: Row, note: str | None = None) -> Quote:
        """The row's quote, at the line where it stands. Raises Unconfirmed where it stands nowhere."""
        text = row.quote.strip("\r\n")
        if not row.path:
            raise Unconfirmed("the path is missing")
        if len(text.strip()) < _SHORTEST:
            raise Unconfirmed("the quote is missing or too short to prove anything; copy the whole line")
        if len(text) > _LONGEST:
            raise Unconfirmed("the quote is too long; one to five lines are enough")
        cell = 0 if row.cell is None and row.path.endswith(".ipynb") else row.cell
        end = row.line + text.count("\n")
        quote = Quote(path=row.path, line_start=row.line, line_end=end, quote=text, sha256="", cell=cell)
        found = self._confirmed(quote)
        return found.model_copy(update={"quote": self.secrets.cut(found), "note": note})

    def _confirmed(self, evidence: E) -> E:
        self._checked += 1
        verdict = self.checker.check(evidence)
        if verdict.evidence is None:
            where = f"{evidence.path}: " if isinstance(evidence, Quote) else ""
            hint = "; copy it from the file as Read shows it" if isinstance(evidence, Quote) else ""
            raise Unconfirmed(f"{where}{verdict.reason}{hint}")
        self._repaired += verdict.repaired
        assert isinstance(verdict.evidence, type(evidence))
        return verdict.evidence

    # --- the summary ----------------------------------------------------------------------------------------------

    def _summary(self, text: str, findings: list[Finding], claims: dict[str, Claim], problems: list[str]) -> str:
        """The sentences that may stand; the engine's own summary where none does."""
        evidence = [one for claim in claims.values() for one in claim.evidence]
        known = [*_texts(evidence), *(f"{one.title} {one.why}" for one in findings), *self._engine_texts()]
        known += [claim.text for claim in claims.values() if claim.state is ClaimState.MEASURED]
        ran = bool(self.passed) or any(isinstance(one, CommandRun) and one.exit_code == 0 for one in evidence)
        kept = []
        for sentence in boasts.sentences(text):
            boast = boasts.unproved(sentence, ran=ran, known=known)
            if boast is None:
                kept.append(sentence.strip())
            else:
                problems.append(f"summary: {boast}")
        return self.secrets.hide(" ".join(kept)) or self.engine.summary

    def _engine_texts(self) -> list[str]:
        findings = [f"{one.title} {one.why}" for one in self.engine.findings]
        quotes = [text for one in self.engine.findings for text in _texts(one.evidence)]
        return [*findings, *quotes, *(claim.text for claim in self.engine.claims.values())]


def _is_prose(path: str) -> bool:
    name = PurePosixPath(path)
    return name.suffix.lower() in _PROSE and not name.name.lower().startswith(
        ("requirements", "dockerfile", "makefile")
    )


def _texts(evidence: list[Evidence]) -> list[str]:
    """The words of evidence in which figures may stand."""
    texts = []
    for one in evidence:
        match one:
            case Quote():
                texts.append(one.quote)
            case CommandRun() if one.exit_code == 0:
                texts.append(one.excerpt)
    return texts


def _require_measured(text: str, evidence: list[Evidence]) -> None:
    """A measured claim says what was measured: each of its numbers is one of a cited measurement, as rounded."""
    measured = [one for one in evidence if one.kind == "measurement"]
    if not measured:
        raise Unconfirmed("measured needs a measurement made in this step; without one say proposed or unknown")
    words = " ".join(f"{one.name} {one.method} {one.samples} {one.unit}" for one in measured)
    allowed = boasts.figures(words)
    numbers = boasts.figures(text)
    unknown = [n for n in sorted(numbers - allowed) if not any(_rounds_to(one.value, n) for one in measured)]
    if unknown:
        values = ", ".join(f"{one.name} = {one.value:g} {one.unit}" for one in measured)
        raise Unconfirmed(f"{unknown[0]} was not measured; the records say {values}")
    if not any(_rounds_to(one.value, n) for one in measured for n in numbers):
        raise Unconfirmed(f"it does not say the value that was measured, {measured[0].value:g} {measured[0].unit}")


def _rounds_to(value: float, number: str) -> bool:
    digits = len(number.partition(".")[2])
    return math.isclose(round(value, digits), float(number), rel_tol=1e-9, abs_tol=1e-12)
