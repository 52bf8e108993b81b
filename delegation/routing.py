"""From findings, fields and the task to hand-offs: the same input gives the same hand-offs, always, without a model.

`route` looks at every cue of `routes`, keeps those that are worth a hand-off, and puts all questions to one peer into
one hand-off. A cue is worth it

- when one of its triggers is at or above the threshold, or
- when three of them are one severity below it (three medium faults in one area weigh like a high one), or
- when words of the task name it: then the user has asked.

Findings of low confidence trigger nothing. `why` says which cues fired, and on what.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ml_engineer.delegation.routes import CUES, Cue
from ml_engineer.report.schema import Claim, Confidence, Evidence, Finding, Handoff, Severity
from ml_engineer.report.text import one_line, where

ASKED_BY = "asked by "  # the cue of a hand-off that no route has made, but an agent
TOGETHER = 3  # so many triggers one severity below the threshold weigh as much as one at it
MAX_PLACES = 3  # places cited of one trigger
MAX_EVIDENCE = 24  # pieces of evidence in one hand-off


@dataclass(frozen=True, slots=True)
class Trigger:
    """One thing that fired a cue: what it is, how much it weighs (None: asked for), and the evidence."""

    text: str
    severity: Severity | None
    evidence: tuple[Evidence, ...] = ()


@dataclass(frozen=True, slots=True)
class Fired:
    """A cue with everything that speaks for it, heaviest first."""

    cue: Cue
    triggers: tuple[Trigger, ...]

    @property
    def rank(self) -> int:
        """Order among the cues of a peer: what the user asked for, then the heaviest."""
        return min(-1 if trigger.severity is None else trigger.severity.rank for trigger in self.triggers)


def route(
    findings: Sequence[Finding],
    claims: Mapping[str, Claim],
    task: str = "",
    threshold: Severity = Severity.HIGH,
) -> list[Handoff]:
    """The hand-offs that are worth making, one a peer, in the order of the routes.

    `claims` are the report's fields by name.
    """
    fired = list(_fired(findings, claims, task, threshold))
    peers = dict.fromkeys(one.cue.peer for one in fired)
    return [_handoff(peer, [one for one in fired if one.cue.peer == peer]) for peer in peers]


def why(handoff: Handoff) -> str:
    """Which cues fired for this hand-off, and on what evidence; or who has asked what. As text."""
    if handoff.cue.startswith(ASKED_BY):
        because = "\n".join(filter(None, [f"{handoff.cue}: {handoff.question}", handoff.context]))
    else:
        because = handoff.context
    return f"{handoff.peer} ({handoff.state.value})\n\n{because}\n"


# --- cues -------------------------------------------------------------------------------------------------------------


def _fired(
    findings: Sequence[Finding],
    claims: Mapping[str, Claim],
    task: str,
    threshold: Severity,
) -> Iterator[Fired]:
    sure = [finding for finding in findings if finding.confidence is not Confidence.LOW]
    for cue in CUES:
        triggers = [*_by_words(cue, task), *_by_findings(cue, sure), *_by_fields(cue, sure, claims)]
        if _worth(triggers, threshold):
            ranked = sorted(triggers, key=lambda one: -1 if one.severity is None else one.severity.rank)
            yield Fired(cue, tuple(ranked))


def _worth(triggers: Sequence[Trigger], threshold: Severity) -> bool:
    ranks = [trigger.severity.rank for trigger in triggers if trigger.severity is not None]
    asked = len(ranks) < len(triggers)
    return asked or min(ranks, default=99) <= threshold.rank or ranks.count(threshold.rank + 1) >= TOGETHER


def _by_words(cue: Cue, task: str) -> Iterator[Trigger]:
    for pattern in cue.words if task else ():
        match = re.search(pattern, task, re.IGNORECASE)
        if match is not None:
            yield Trigger(f"the task says “{one_line(_around(task, match))}”", None)
            return


def _around(task: str, match: re.Match[str]) -> str:
    """The words found, with what stands around them on their line."""
    start = max(task.rfind("\n", 0, match.start()) + 1, match.start() - 40)
    end = task.find("\n", match.end())
    return task[start : min(len(task) if end < 0 else end, match.end() + 40)]


def _by_findings(cue: Cue, findings: Sequence[Finding]) -> Iterator[Trigger]:
    """One trigger a rule: several findings of one rule are one root cause more often than not."""
    matching = [finding for finding in findings if finding.rule in cue.rules or finding.step in cue.steps]
    for rule in dict.fromkeys(finding.rule for finding in sorted(matching, key=lambda one: one.severity.rank)):
        same = [finding for finding in matching if finding.rule == rule]
        worst = min(same, key=lambda finding: finding.severity.rank)
        severity = min(worst.severity, Severity(cue.weight), key=_rank) if cue.weight else worst.severity
        evidence = [item for finding in same for item in finding.evidence]
        more = f" (and {len(same) - 1} more of this rule)" if len(same) > 1 else ""
        yield Trigger(f"{rule} {worst.severity.value}: {one_line(worst.title)}{more}", severity, tuple(evidence))


def _rank(severity: Severity) -> int:
    return severity.rank


def _by_fields(cue: Cue, findings: Sequence[Finding], claims: Mapping[str, Claim]) -> Iterator[Trigger]:
    if not cue.fields or not all(name in claims and claims[name].state.value == state for name, state in cue.fields):
        return
    if not {finding.rule for finding in findings} >= set(cue.given):
        return
    said = "; ".join(f"{name} is {state} ({one_line(claims[name].text)})" for name, state in cue.fields)
    gate = f", and {', '.join(cue.given)} was found" if cue.given else ""
    evidence = [item for name, _ in cue.fields for item in claims[name].evidence]
    evidence += [item for finding in findings if finding.rule in cue.given for item in finding.evidence]
    yield Trigger(f"field {said}{gate}", Severity(cue.field_weight), tuple(evidence))


# --- hand-offs --------------------------------------------------------------------------------------------------------


def _handoff(peer: str, fired: list[Fired]) -> Handoff:
    fired.sort(key=lambda one: one.rank)
    questions = [one.cue.question for one in fired]
    cue = "; ".join(one.cue.name for one in fired)
    context = "\n\n".join(_reason(one) for one in fired)
    identity = "\n".join([peer, *(one.cue.id for one in fired), context])
    return Handoff(
        id=f"{peer}-{hashlib.sha256(identity.encode()).hexdigest()[:8]}",
        peer=peer,
        cue=cue,
        question=questions[0] if len(questions) == 1 else _numbered(questions),
        context=context,
        evidence=_evidence(fired),
        expected=_numbered([one.cue.expected for one in fired]) if len(fired) > 1 else fired[0].cue.expected,
    )


def _numbered(parts: Sequence[str]) -> str:
    return " ".join(f"({number}) {part}" for number, part in enumerate(parts, 1))


def _reason(fired: Fired) -> str:
    """Why this cue fired: its name, and each trigger with the first places that show it."""
    lines = [f"{fired.cue.name} [{fired.cue.id}]"]
    for trigger in fired.triggers:
        places = list(dict.fromkeys(where(item) for item in trigger.evidence))
        shown = ", ".join(places[:MAX_PLACES])
        more = f" and {len(places) - MAX_PLACES} more" if places[MAX_PLACES:] else ""
        lines.append(f"- {trigger.text}" + (f", at {shown}{more}" if shown else ""))
    return "\n".join(lines)


def _evidence(fired: Sequence[Fired]) -> list[Evidence]:
    """What the peer needs to see: the first places of every trigger, heaviest first, each once."""
    kept: dict[str, Evidence] = {}
    for trigger in (trigger for one in fired for trigger in one.triggers):
        for item in trigger.evidence[:MAX_PLACES]:
            kept.setdefault(item.model_dump_json(), item)
    return list(kept.values())[:MAX_EVIDENCE]
