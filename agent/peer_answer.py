"""The tool `answer`, with which a peer in this process hands in its reply: flat rows, checked before they leave.

    judged = judge(input, agent, checker, records)
    judged.text          the reply as every peer gives it, JSON for `delegation.reply`
    judged.problems      a line for each row that does not hold, with what to do about it

A row that does not hold is not in `text`: the reply goes without it when the peer cannot mend it.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

from pydantic import Field

from ml_engineer.agent.records import Records
from ml_engineer.agent.submission import PLACE, Row, read_rows, rows
from ml_engineer.delegation.reply import MAX_ANSWER, MAX_CLAIMS
from ml_engineer.report.evidence import EvidenceChecker
from ml_engineer.report.schema import Absence, Evidence, Place, Quote, Searched

NAME = "answer"
_SHORTEST = 3  # characters of a quote

ANSWER: dict[str, Any] = {
    "name": NAME,
    "description": (
        "Hands in your reply and ends your work; this is the only way. Quotes are looked up in the files at once, and "
        "what does not stand there comes back with the reason. Several places for one claim: repeat the row with the "
        "same text and another place."
    ),
    "input_schema": {
        "type": "object",
        "properties": {
            "state": {"type": "string", "description": "answered, or declined (with the reason in answer)."},
            "answer": {"type": "string", "description": "The answer, as Markdown. Number it like the questions."},
            "claims": rows(
                "Statements that can be checked. To fill a field of the report, begin the text with its name and a "
                "colon: `Accuracy: …`.",
                ["text", "state"],
                text={"type": "string", "description": "One statement, one to three sentences."},
                state={
                    "type": "string",
                    "description": "present (needs a quote), absent (needs the place that needs it and `searched`), "
                    "or proposed (advice, a design, what you know from experience).",
                },
                **PLACE,
                searched={"type": "string", "description": "For absent: the pattern given to Grep that found nothing."},
            ),
        },
        "required": ["answer"],
    },
}


class PeerRow(Row):
    text: str = Field(min_length=1, max_length=2_000)
    state: Literal["present", "absent", "proposed"]
    searched: str | None = None


class _Unconfirmed(Exception):
    """Why a row cannot be handed in, in words for the peer."""


@dataclass(frozen=True)
class Judged:
    text: str
    problems: list[str]


def judge(raw: dict[str, Any], agent: str, checker: EvidenceChecker, records: Records) -> Judged:
    """The reply in `raw`, with what of it can be confirmed. Never raises for what a peer sent."""
    problems: list[str] = []
    answer, state = raw.get("answer"), str(raw.get("state") or "answered").strip().lower()
    if state not in ("answered", "declined"):
        problems.append(f"state is {state[:40]!r}; it must be answered or declined")
        state = "answered"
    if not isinstance(answer, str) or not answer.strip():
        problems.append("answer is missing; it must be a text")
        answer = ""
    elif len(answer) > MAX_ANSWER:
        problems.append(f"answer has {len(answer):,} characters; at most {MAX_ANSWER:,} are read")
    claims: dict[str, dict[str, Any]] = {}
    for number, row in enumerate(read_rows(raw.get("claims"), PeerRow, "claims", problems)):
        try:
            evidence = _evidence(row, agent, checker, records)
        except _Unconfirmed as why:
            problems.append(f"claims[{number}] ({row.text[:60]}): {why}")
            continue
        claim = claims.setdefault(row.text, {"text": row.text, "state": row.state, "evidence": []})
        claim["evidence"] += [one.model_dump(mode="json") for one in evidence]
    if len(claims) > MAX_CLAIMS:
        problems.append(f"there are {len(claims)} claims; the first {MAX_CLAIMS} are read")
    reply = {"state": state, "answer": answer, "claims": list(claims.values())[:MAX_CLAIMS]}
    return Judged(json.dumps(reply, ensure_ascii=False), problems)


def _evidence(row: PeerRow, agent: str, checker: EvidenceChecker, records: Records) -> list[Evidence]:
    quote = _quote(row, checker) if row.quote.strip() else None
    if row.state == "absent":
        return [_absence(row, quote, agent, records)]
    if row.state == "present" and quote is None:
        raise _Unconfirmed("present needs path, line and quote; without them it is proposed")
    return [quote] if quote is not None else []


def _quote(row: PeerRow, checker: EvidenceChecker) -> Quote:
    text = row.quote.strip("\r\n")
    if len(text.strip()) < _SHORTEST or not row.path:
        raise _Unconfirmed("a quote needs its path, and the whole line")
    cell = 0 if row.cell is None and row.path.endswith(".ipynb") else row.cell
    end = row.line + text.count("\n")
    verdict = checker.check(Quote(path=row.path, line_start=row.line, line_end=end, quote=text, sha256="", cell=cell))
    if not isinstance(verdict.evidence, Quote):
        raise _Unconfirmed(f"{row.path}:{row.line}: {verdict.reason}")
    return verdict.evidence


def _absence(row: PeerRow, need: Quote | None, agent: str, records: Records) -> Absence:
    if need is None or not row.searched:
        raise _Unconfirmed("absent needs the place that needs it (path, line, quote) and `searched`")
    search = records.search(agent, row.searched)
    if search is None:
        raise _Unconfirmed(f"{row.searched!r} was not searched for by you; use Grep, then cite the pattern")
    if search["total"]:
        raise _Unconfirmed(f"the search for {row.searched!r} did find something: {', '.join(search['files'][:3])}")
    place = Place(path=need.path, line=need.line_start, cell=need.cell, quote=need.quote, sha256=need.sha256)
    return Absence(need=place, searched=Searched(patterns=[row.searched], files=[search["where"]]))
