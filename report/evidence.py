"""The evidence check: what the report cites is read again before the report is sealed.

`check_report(report, root, run_dir)` gives a report in which every quote stands in its file. The quote is the anchor,
not the line: a quote that stands elsewhere in its file gets the right line, one that stands nowhere is dropped. What
loses all its evidence falls with it: a finding or a fact is dropped, a claim becomes unknown with its text kept and
marked. All of it is counted in `evidence_check`, each distinct piece of evidence once.
"""

from __future__ import annotations

import json
import math
import operator
from collections.abc import Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from ml_engineer.report.decoding import decode, split_lines
from ml_engineer.report.reread import FileText, Text, Texts, Unreadable
from ml_engineer.report.schema import (
    Absence,
    Claim,
    ClaimState,
    CommandRun,
    Evidence,
    EvidenceCheck,
    Fact,
    Finding,
    Handoff,
    Measurement,
    PeerReply,
    PipelineRow,
    Place,
    Quote,
    Report,
    Score,
    ScoredTest,
    Sections,
    StepRecord,
    TestState,
)
from ml_engineer.report.text import one_line, where

UNCONFIRMED = "unconfirmed: "
_EMPTY_SHA256 = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
_MIN_MOVED = 3  # a quote of fewer characters, such as a bracket, is found anywhere and proves nothing once it has moved
_Owner = TypeVar("_Owner", Finding, Fact, Claim, ScoredTest)
_STATED = {ClaimState.MEASURED, ClaimState.IMPLEMENTED, ClaimState.PRESENT}


@dataclass(frozen=True, slots=True)
class Verdict:
    """What became of one piece of evidence: as it stands now, or None with the reason."""

    evidence: Evidence | None
    repaired: bool = False
    reason: str = ""


class Refuted(Exception):
    """Why a piece of evidence does not hold."""


class EvidenceChecker:
    """Re-reads evidence below `root`, and records of commands and measurements below `run_dir`.

    The same evidence is looked at once, however often it is cited, and a file is read once.
    """

    def __init__(self, root: Path, run_dir: Path | None) -> None:
        self._files = Texts(root)
        self._records = Texts(run_dir) if run_dir is not None else None
        self._verdicts: dict[Hashable, Verdict] = {}
        self._data: dict[str, dict[str, Any]] = {}

    def check(self, evidence: Evidence) -> Verdict:
        key = _key(evidence)
        verdict = self._verdicts.get(key)
        if verdict is None:
            try:
                verdict = self._look(evidence)
            except (Refuted, Unreadable) as error:
                verdict = Verdict(None, reason=str(error))
            self._verdicts[key] = verdict
        return verdict

    def counts(self) -> EvidenceCheck:
        """How many distinct pieces were looked at, repaired and dropped so far."""
        verdicts = self._verdicts.values()
        return EvidenceCheck(
            checked=len(verdicts),
            repaired=sum(verdict.repaired for verdict in verdicts),
            dropped=sum(verdict.evidence is None for verdict in verdicts),
        )

    def _look(self, evidence: Evidence) -> Verdict:
        match evidence:
            case Quote():
                return self._quote(evidence)
            case Absence():
                return self._absence(evidence)
            case CommandRun():
                recorded = self._record(evidence.record).get("exit_code", evidence.exit_code)
                if recorded != evidence.exit_code:
                    raise Refuted(f"the record says exit code {recorded}, not {evidence.exit_code}")
            case Measurement():
                recorded = self._record(evidence.record).get("value", evidence.value)
                if not isinstance(recorded, int | float) or not math.isclose(recorded, evidence.value, rel_tol=1e-9):
                    raise Refuted(f"the record says {recorded}, not {evidence.value}")
        return Verdict(evidence)

    def _quote(self, quote: Quote) -> Verdict:
        file = self._files.find(quote.path)
        wanted = _normal(quote.quote)
        if not wanted:
            return Verdict(quote.model_copy(update={"sha256": _whole_file(file, quote.sha256)}))
        cell, start = _locate(file, wanted, quote.cell, quote.line_start, quote.line_end)
        if (cell, start) == (quote.cell, quote.line_start):
            same = quote.sha256 == file.sha256
            return Verdict(quote if same else quote.model_copy(update={"sha256": file.sha256}))
        end = start + wanted.count("\n")
        moved = {"cell": cell, "line_start": start, "line_end": end, "sha256": file.sha256}
        return Verdict(quote.model_copy(update=moved), repaired=True)

    def _absence(self, absence: Absence) -> Verdict:
        searched = absence.searched
        if not searched.patterns or not searched.files:
            raise Refuted("it does not say what was searched, and where")
        need, repaired = self._need(absence.need)
        same = need is absence.need
        return Verdict(absence if same else absence.model_copy(update={"need": need}), repaired=repaired)

    def _need(self, need: Place) -> tuple[Place, bool]:
        """The place that needs it, as it stands now, and whether it had moved."""
        file = self._files.find(need.path)
        wanted = _normal(need.quote)
        if not wanted:
            return need.model_copy(update={"sha256": _whole_file(file, need.sha256)}), False
        cell, line = _locate(file, wanted, need.cell, need.line, need.line + wanted.count("\n"))
        moved = (cell, line) != (need.cell, need.line)
        if not moved and need.sha256 == file.sha256:
            return need, False
        return need.model_copy(update={"cell": cell, "line": line, "sha256": file.sha256}), moved

    def _record(self, path: str) -> dict[str, Any]:
        """The record of a command or a measurement, as a mapping; empty where it is no JSON object."""
        if self._records is None:
            raise Refuted("there is no run directory with its record")
        if path not in self._data:
            data = self._records.find(path).data or b""
            try:
                parsed = json.loads(decode(data))
            except (ValueError, RecursionError) as error:
                if path.endswith(".json"):
                    raise Refuted("its record is not valid JSON") from error
                parsed = None
            self._data[path] = parsed if isinstance(parsed, dict) else {}
        return self._data[path]


def _key(evidence: Evidence) -> Hashable:
    """Equal for equal evidence, and cheap for the two kinds of which a report has hundreds."""
    match evidence:
        case Quote():
            return tuple(vars(evidence).values())
        case Absence(need=need, searched=searched):
            return (evidence.kind, *vars(need).values(), *searched.patterns, None, *searched.files)
    return repr(evidence)


def _normal(quote: str) -> str:
    """The quote with LF line ends, without white space at the end of its lines and empty lines around it."""
    return "\n".join(line.rstrip() for line in split_lines(quote)).strip("\n")


def _whole_file(file: FileText, sha256: str) -> str:
    """An empty quote cites the file itself, by its digest: the digest it has now, which must be the cited one.

    The assessment doesn't read what is very large: there the file's being there is all that is said.
    """
    if sha256 not in ("", _EMPTY_SHA256, file.sha256) and file.sha256:
        raise Refuted("the file has changed since it was looked at")
    return file.sha256


def _locate(file: FileText, quote: str, cell: int | None, start: int, end: int) -> tuple[int | None, int]:
    """Cell and line where the quote stands: as cited, else the nearest place. `Refuted` if it stands nowhere."""
    texts: dict[int | None, Text] = {None: file.text} if cell is None else dict(enumerate(file.cells))
    if cell in texts and texts[cell].holds(quote, start, end):
        return cell, start
    if len(quote.strip()) < _MIN_MOVED:
        raise Refuted("the quote does not stand at this line, and is too short to be looked for elsewhere")
    places = [(other, line) for other, text in texts.items() for line in text.starts(quote)]
    if not places:
        raise Refuted("the quote does not stand in the file")
    return min(places, key=lambda place: (abs((place[0] or 0) - (cell or 0)), abs(place[1] - start)))


# --- the report, part by part -----------------------------------------------------------------------------------------


@dataclass
class _Pass:
    """One walk over a report: rebuilds each part with the evidence that stands, and notes what fell."""

    checker: EvidenceChecker
    fallen: list[str] = field(default_factory=list)
    _told: set[str] = field(default_factory=set)

    def evidence(self, items: Iterable[Evidence], owner: str) -> list[Evidence]:
        kept: list[Evidence] = []
        for item in items:
            verdict = self.checker.check(item)
            if verdict.evidence is not None:
                kept.append(verdict.evidence)
            else:
                self._tell(f"{where(item)} ({owner}): {verdict.reason}")
        return kept

    def _tell(self, line: str) -> None:
        if line not in self._told:
            self._told.add(line)
            self.fallen.append(line)

    def findings(self, findings: list[Finding]) -> list[Finding]:
        kept = []
        for finding in findings:
            evidence = self.evidence(finding.evidence, finding.rule)
            if evidence:
                kept.append(_with(finding, evidence))
            else:
                self._tell(f"finding {finding.rule} “{one_line(finding.title)}” dropped: none of its evidence stands")
        return kept

    def facts(self, facts: list[Fact]) -> list[Fact]:
        kept = []
        for fact in facts:
            evidence = self.evidence(fact.evidence, f"fact {one_line(fact.name)}")
            if evidence or not fact.evidence:
                kept.append(_with(fact, evidence))
            else:
                self._tell(f"fact {one_line(fact.name)} dropped: none of its evidence stands")
        return kept

    def claim(self, claim: Claim, name: str) -> Claim:
        """What is said to be there needs evidence that stands; what is said to be absent must not lose what it had."""
        evidence = self.evidence(claim.evidence, name)
        lost = bool(claim.evidence) and claim.state is ClaimState.ABSENT
        if not evidence and (claim.state in _STATED or lost):
            self._tell(
                f"claim {name} is now unknown: {'none of its evidence stands' if claim.evidence else 'no evidence'}"
            )
            return Claim(text=UNCONFIRMED + claim.text, state=ClaimState.UNKNOWN)
        return _with(claim, evidence)

    def claims(self, claims: dict[str, Claim]) -> dict[str, Claim]:
        return {name: self.claim(claim, name) for name, claim in claims.items()}

    def sections(self, sections: Sections) -> Sections:
        checked: dict[str, Any] = {}
        for name in Sections.model_fields:  # in the report's order, so that the lines of what fell follow it
            part = getattr(sections, name)
            checked[name] = [self.row(row) for row in part] if name == "training_pipeline" else self.claims(part)
        return sections.model_copy(update=checked)

    def row(self, row: PipelineRow) -> PipelineRow:
        cells = {
            name: self.claim(getattr(row, name), f"{row.stage} / {name}")
            for name in ("tool", "automation", "monitoring")
        }
        return row.model_copy(update=cells)

    def handoffs(self, handoffs: list[Handoff]) -> list[Handoff]:
        return [
            handoff.model_copy(
                update={
                    "evidence": self.evidence(handoff.evidence, f"hand-off to {one_line(handoff.peer)}"),
                    "reply": self.reply(handoff.reply, handoff.peer) if handoff.reply else None,
                }
            )
            for handoff in handoffs
        ]

    def reply(self, reply: PeerReply, peer: str) -> PeerReply:
        claims = [self.claim(claim, f"{one_line(peer)}: {one_line(claim.text)}") for claim in reply.claims]
        return reply.model_copy(update={"claims": claims})

    def step(self, record: StepRecord) -> StepRecord:
        return record.model_copy(
            update={
                "findings": self.findings(record.findings),
                "claims": self.claims(record.claims),
                "handoffs": self.handoffs(record.handoffs),
            }
        )

    def score(self, score: Score) -> Score:
        """A test that loses all its evidence is not observed any more, and its points are taken back."""
        tests, sections = [], dict(score.sections)
        for test in score.tests:
            evidence = self.evidence(test.evidence, test.id)
            if test.evidence and not evidence and test.points:
                sections[test.section] -= test.points
                test = _withdrawn(test)
                self._tell(f"test {test.id} is now not observed: none of its evidence stands")
            tests.append(_with(test, evidence))
        if sections == score.sections:
            return score.model_copy(update={"tests": tests})
        lowest = min(sections.values())
        return score.model_copy(update={"tests": tests, "sections": sections, "ml_test_score": lowest})


def _with(owner: _Owner, evidence: list[Evidence]) -> _Owner:
    """The owner with this evidence: itself where it is the evidence that it has, as nearly always."""
    same = len(evidence) == len(owner.evidence) and all(map(operator.is_, evidence, owner.evidence))
    return owner if same else owner.model_copy(update={"evidence": evidence})


def _withdrawn(test: ScoredTest) -> ScoredTest:
    return test.model_copy(update={"state": TestState.NOT_OBSERVED, "points": 0.0, "reason": UNCONFIRMED + test.reason})


def check_report(report: Report, root: Path, run_dir: Path | None) -> Report:
    """A new report in which all evidence stands, with `evidence_check` filled. `root` is the target's folder.

    `dropped_items` has a line for each piece of evidence that fell, and one for each finding, claim or fact that fell
    with it.
    """
    walk = _Pass(EvidenceChecker(root, run_dir))
    parts = {
        "profile": walk.facts(report.profile),
        "sections": walk.sections(report.sections),
        "findings": walk.findings(report.findings),
        "steps": [walk.step(record) for record in report.steps],
        "handoffs": walk.handoffs(report.handoffs),
        "score": walk.score(report.score),
    }
    counts = walk.checker.counts().model_copy(update={"dropped_items": walk.fallen})
    return report.model_copy(update={**parts, "evidence_check": counts, "digest": ""})
