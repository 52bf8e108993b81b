"""From what a peer wrote to a `PeerReply`: JSON, or prose with a fenced JSON block. Anything else is `failed`.

A reply is foreign text. It is parsed strictly, cut to size, and what cannot be checked again is not taken as evidence:
a peer's command output and measurements have no record in our run, so a claim that rests on them alone stays without.
That a peer has measured or implemented something no quote can show: such a claim has no evidence at all.
"""

from __future__ import annotations

import json
import re
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from ml_engineer.report.schema import Claim, HandoffState, PeerReply, TokenUsage, Usage

MAX_REPLY = 1_000_000  # bytes of a reply; a reply is read by a model and by people
MAX_ANSWER = 40_000  # characters of the answer that enter the report; the whole reply is kept in the run
MAX_CLAIMS = 100
_OF_RECORDS = ("measured", "implemented")  # states that rest on records of this run, which no peer has made
_FENCE = re.compile(r"^(`{3,}|~{3,})[ \t]*(?:json|JSON)[ \t]*\n(.*?)^\1[ \t]*$", re.S | re.M)


class _Usage(BaseModel):
    """What the peer says it spent. Negative figures would give budget back, so they are an error."""

    model_config = ConfigDict(extra="ignore")
    turns: int = Field(default=0, ge=0)
    tokens: dict[str, Annotated[int, Field(ge=0)]] = {}
    cost_usd: Annotated[float, Field(ge=0, allow_inf_nan=False)] | Literal["unpriced"] = "unpriced"


class _Reply(BaseModel):
    """A reply as it may come in: further fields are ignored, those that are known must be right."""

    model_config = ConfigDict(extra="ignore")
    state: Literal["answered", "declined", "failed"] = "answered"
    answer: str
    claims: list[Claim] = Field(default=[], max_length=MAX_CLAIMS)
    artifacts: list[str] = Field(default=[], max_length=MAX_CLAIMS)
    usage: _Usage | None = None
    error: str | None = None


def failed(error: str, *, begun: bool = True) -> PeerReply:
    """A reply that is none: what went wrong, and no answer. A peer that has begun has cost nobody knows what."""
    return PeerReply(state=HandoffState.FAILED, error=error, usage=Usage(cost_usd="unpriced" if begun else 0.0))


def parse_reply(text: str) -> PeerReply:
    """The reply in `text`. A malformed one is `failed` with the reason; this never raises."""
    if not text.strip():
        return failed("the reply is empty")
    if len(text.encode("utf-8", "replace")) > MAX_REPLY:
        return failed(f"the reply is larger than {MAX_REPLY:,} bytes")
    try:
        return _checked(_find(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the reply"
        return failed(f"the reply is malformed at {place}: {first['msg']}")
    except ValueError as error:
        return failed(f"the reply is malformed: {error}")


def _find(text: str) -> dict[str, Any]:
    """The JSON object that is the reply: the whole text, else its last fenced block of JSON."""
    try:
        whole = json.loads(text)
    except (ValueError, RecursionError):
        blocks = _FENCE.findall(text.replace("\r\n", "\n"))
        if not blocks:
            raise ValueError("it has no fenced json block") from None
        try:
            whole = json.loads(blocks[-1][1])
        except RecursionError:
            raise ValueError("its json is nested too deeply") from None
        except ValueError as error:
            raise ValueError(f"its json block is no JSON ({error})") from None
    if not isinstance(whole, dict):
        raise ValueError("its json is no object")
    json.dumps(whole, ensure_ascii=False).encode()  # half a surrogate pair could not be written to the report
    return whole


def _checked(data: dict[str, Any]) -> PeerReply:
    for claim in data["claims"] if isinstance(data.get("claims"), list) else ():
        if isinstance(claim, dict) and isinstance(claim.get("evidence"), list):
            ours = claim.get("state") not in _OF_RECORDS
            claim["evidence"] = [_digested(item) for item in claim["evidence"] if ours and not _without_record(item)]
    reply = _Reply.model_validate(data)
    if not reply.answer.strip() and reply.state == "answered":
        raise ValueError("it says answered, and its answer is empty")
    return PeerReply(
        state=HandoffState(reply.state),
        answer="" if reply.state == "failed" else _cut(reply.answer),
        claims=reply.claims if reply.state == "answered" else [],
        artifacts=reply.artifacts,
        usage=_usage(reply.usage),
        error=(reply.error or reply.answer or "the peer gives no reason")[:2_000] if reply.state == "failed" else None,
    )


def _without_record(item: Any) -> bool:
    return isinstance(item, dict) and item.get("kind") in ("command", "measurement")


def _digested(item: Any) -> Any:
    """A quote without the file's digest is fine: the evidence check reads the file and fills it in."""
    return {"sha256": "", **item} if isinstance(item, dict) and item.get("kind") == "quote" else item


def _cut(answer: str) -> str:
    if len(answer) <= MAX_ANSWER:
        return answer
    return f"{answer[:MAX_ANSWER]}\n\n({len(answer) - MAX_ANSWER:,} more characters are kept in the run)"


def _usage(usage: _Usage | None) -> Usage:
    if usage is None:
        return Usage(cost_usd="unpriced")
    kinds = {kind: count for kind, count in usage.tokens.items() if kind in TokenUsage.model_fields}
    return Usage(turns=usage.turns, tokens=TokenUsage(**kinds), cost_usd=usage.cost_usd)
