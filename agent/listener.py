"""Who hears what happens: one function, `(kind, **data)`; `Run.event` has the same form.

kind         data                                   when
text         text                                   a piece of the answer, as it comes
thinking     text                                   a piece of the model's thinking, as it comes
tool_call    name                                   the model begins to write a call
retry        reason, failure, attempt, wait         the answer so far is void; the turn is sent again
turn         agent, number, stop, usage, content    an answer is complete and kept
tool_start   agent, id, name, input                 a call is about to run
tool_end     agent, id, name, is_error, text, data  a call has its result
nudge        agent, text                            the loop reminded the model of something
ending       agent, why, text                       the agent's work is over

A conversation (agent.session) adds

plan         items                                  the plan that ticks off has changed (session_log.PlanItem)
attached     path, problem                          an @path was sent with the user's words, or why it was not
compacted    text                                   the conversation goes on in a new transcript, which begins with this
handoff      id, peer, state, …                     a question to a peer was asked, answered, declined, queued or failed
peer         peer, handoff, event, data             a peer in this process is at work: an event of its own loop
problem      text                                   something that the user should know and that stops nothing
"""

from __future__ import annotations

from typing import Any, Protocol

_STREAMED = frozenset({"text", "thinking", "tool_call"})  # of interest while they happen, not in a log
# What the transcript has anyway.
_KEPT_ELSEWHERE = {
    "turn": ("content",),
    "tool_start": ("input",),
    "tool_end": ("text", "data"),
    "plan": ("items",),
    "compacted": ("text",),
}


class Listener(Protocol):
    """Hears of everything; must not raise and must not take long."""

    def __call__(self, kind: str, /, **data: Any) -> None: ...


def silent(kind: str, /, **data: Any) -> None:
    """For those who want to hear nothing."""


def logged(event: Listener) -> Listener:
    """A listener that hands on to `event` what belongs in a log: neither streamed pieces nor what was said."""

    def hear(kind: str, /, **data: Any) -> None:
        if kind not in _STREAMED:
            for name in _KEPT_ELSEWHERE.get(kind, ()):
                data.pop(name, None)
            event(kind, **data)

    return hear
