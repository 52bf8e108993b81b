"""The routing graph: conditional edges from the router to the peers, parallel sends, and what they answered collected.

    route -- cues --> data-scientist, cloud-architect, … --> collect

Compiled from the routes with LangGraph. The state holds ids and final states only; hand-offs themselves stand in the
desk's ledger, so that a graph that runs again after a kill repeats nothing that was answered.
The caller has LangGraph imported (agent/lean.py does it at a fraction of the cost) before it comes here.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Annotated, Any, TypedDict, cast

from ml_engineer.delegation.desk import Desk
from ml_engineer.delegation.limits import Chain
from ml_engineer.delegation.routes import CUES, PEERS
from ml_engineer.report.schema import Handoff

NOTHING = "nothing-worth-it"


def _merge(left: dict[str, str], right: dict[str, str]) -> dict[str, str]:
    """Reducer: peers that answer at the same moment each write their own hand-off."""
    return {**left, **right}


class State(TypedDict, total=False):
    states: Annotated[dict[str, str], _merge]


class Sent(TypedDict):
    """What one peer's node gets."""

    handoff: str


@dataclass
class Work:
    """What the nodes work with; never stored."""

    desk: Desk | None = None
    chain: Chain = ()
    handoffs: dict[str, Handoff] = field(default_factory=dict)


def build_graph(peers: Iterable[str] = PEERS) -> Any:
    """The compiled graph with a node for each of `peers`. It holds nothing of a run and is made once."""
    return _graph(tuple(peers))


@cache
def _graph(names: tuple[str, ...]) -> Any:
    from langgraph.graph import END, START, StateGraph

    graph = StateGraph(State, context_schema=Work)
    graph.add_node("route", _route)
    graph.add_node("collect", _collect)
    graph.add_edge(START, "route")
    labels: dict[Hashable, str] = {NOTHING: "collect"}
    for name in names:
        graph.add_node(name, cast(Any, _ask), input_schema=Sent)
        graph.add_edge(name, "collect")
        labels[_label(name)] = name
    graph.add_conditional_edges("route", _sends, labels)
    graph.add_edge("collect", END)
    return graph.compile()


def _label(peer: str) -> str:
    """What stands at the edge to a peer: its cues."""
    return "<br/>".join(cue.id for cue in CUES if cue.peer == peer)


def mermaid(peers: Iterable[str] = PEERS) -> str:
    """The graph as Mermaid source."""
    return str(build_graph(peers).get_graph().draw_mermaid())


async def hand_all(desk: Desk, handoffs: Sequence[Handoff], chain: Chain) -> list[Handoff]:
    """Make all hand-offs, in parallel as far as the limits allow, and give them in the order they came."""
    if desk.transports:  # else nobody is asked: there is nothing to do in parallel
        work = Work(desk, chain, {handoff.id: handoff for handoff in handoffs})
        graph = build_graph(dict.fromkeys([*PEERS, *(handoff.peer for handoff in handoffs)]))
        await graph.ainvoke({"states": {}}, {"recursion_limit": 10}, context=work)
    # Where a workflow was resumed, LangGraph does not run nodes again that had ended: the ledger has what they got.
    return [await desk.hand(handoff, chain) for handoff in handoffs]


# --- nodes ------------------------------------------------------------------------------------------------------------


def _route(state: State) -> State:
    """The decision itself is made by `routing.route`; the edges behind this node carry it out."""
    return {"states": {}}


def _sends(state: State, runtime: Any) -> Any:
    from langgraph.types import Send

    work: Work = runtime.context
    sends = [Send(handoff.peer, {"handoff": id}) for id, handoff in work.handoffs.items()]
    return sends or NOTHING


async def _ask(sent: Sent, runtime: Any) -> State:
    work: Work = runtime.context
    assert work.desk is not None, "a graph that runs has a desk"
    handoff = await work.desk.hand(work.handoffs[sent["handoff"]], work.chain)
    return {"states": {handoff.id: handoff.state.value}}


def _collect(state: State) -> State:
    return {}
