"""`ml-engineer peers`: who can be asked, how, and why a run did. The list starts without LangGraph or pydantic."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click

from ml_engineer.agent.client import config_path
from ml_engineer.delegation.peers import Directory, Peer, load_peers, user_folders
from ml_engineer.delegation.routes import CUES, PEERS
from ml_engineer.delegation.settings import DelegationError, PeerSettings, Settings, read_settings
from ml_engineer.interfaces.options import Refusal
from ml_engineer.report.visible import visible_json


@click.command()
@click.option("--graph", is_flag=True, help="The routing graph as Mermaid.")
@click.option("--why", metavar="RUN", help="Which cue fired on what evidence, for each hand-off of a run.")
@click.option(
    "--from",
    "folders",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    multiple=True,
    help="Read peers of this folder too, such as a repository's .claude/agents.",
)
@click.option("--json", "as_json", is_flag=True, help="The list as JSON (docs/schema/peers.json).")
def peers(graph: bool, why: str | None, folders: tuple[Path, ...], as_json: bool) -> None:
    """List the peers that questions are handed to, with how each is reached and where it is defined."""
    if graph + as_json + (why is not None) > 1:
        raise click.UsageError("--graph draws the routes, --why explains a run, --json lists; give one of them")
    if why is not None:
        click.echo(_explain(why), nl=False)
        return
    directory = load_peers([*user_folders(config_path()), *folders])
    for problem in directory.problems:
        click.echo(problem, err=True)
    if graph:
        click.echo(_mermaid(), nl=False)
        return
    try:
        settings = read_settings(config_path())
    except DelegationError as error:
        raise Refusal(str(error)) from error
    if as_json:
        click.echo(visible_json(json.dumps(records(directory, settings), indent=1, ensure_ascii=False)))
    else:
        click.echo(listed(directory, settings), nl=False)


def records(directory: Directory, settings: Settings) -> dict[str, Any]:
    """The list for other programs: peers, limits, and what is wrong."""
    entries = [
        {
            "name": name,
            "summary": directory.peers[name].summary,
            "reached_by": _way(directory.peers[name], settings.peers.get(name)),
            "cues": [cue.id for cue in CUES if cue.peer == name],
            "source": directory.peers[name].source,
        }
        for name in [*PEERS, *sorted(set(directory.peers) - set(PEERS))]
    ]
    limits = {name: getattr(settings, name) for name in ("threshold", "parallel", "depth", "hand_offs", "max_cost")}
    return {"peers": entries, "limits": limits, "problems": list(directory.problems)}


def listed(directory: Directory, settings: Settings) -> str:
    order = [*PEERS, *sorted(set(directory.peers) - set(PEERS))]
    lines = [_line(directory.peers[name], settings.peers.get(name)) for name in order]
    lines += [f"[peers.{name}] has settings and no definition" for name in sorted(set(settings.peers) - set(order))]
    lines.append(f"\nA hand-off starts at severity {settings.threshold} ([delegation] threshold).")
    lines.append(
        f"At most {settings.parallel} peers work at once, {settings.depth} levels deep, {settings.hand_offs} hand-offs "
        f"in all, for ${settings.max_cost:g}. Settings: {config_path()}"
    )
    return "\n".join(lines) + "\n"


def _line(peer: Peer, settings: PeerSettings | None) -> str:
    """Name, transport and target, cues, source; the description below."""
    cues = sum(cue.peer == peer.name for cue in CUES)
    routes = f"{cues} cue{'s' if cues > 1 else ''}" if cues else "no cue: asked where a model wishes"
    return f"{peer.name:18}  {_way(peer, settings):34}  {routes}\n{'':18}  {peer.summary} ({peer.source})"


def _way(peer: Peer, settings: PeerSettings | None) -> str:
    if settings is None or settings.transport is None:
        return "local with a model, else queue" if peer.name in PEERS else "queue"
    match settings.transport:
        case "command":
            return f"command: {' '.join(settings.command)}"
        case "a2a":
            return f"a2a: {settings.url}"
        case "mcp":
            return f"mcp: {settings.url or ' '.join(settings.command)} ({settings.tool})"
        case "local" | "queue" as way:
            return way


def _mermaid() -> str:
    from ml_engineer.agent.lean import import_langgraph

    import_langgraph()
    from ml_engineer.delegation.graph import mermaid

    return mermaid()


def _explain(run_id: str) -> str:
    """Why a run asked whom, from its sealed report, or from what it has so far."""
    from ml_engineer.agent.handoffs import Made
    from ml_engineer.agent.runs import Run, RunError
    from ml_engineer.delegation.routing import why
    from ml_engineer.report.schema import Report
    from ml_engineer.report.text import visible

    try:
        run = Run.open(run_id)
    except RunError as error:
        raise Refusal(str(error)) from error
    data = run.read("handoffs.json")
    if data is None:
        raise Refusal(
            f"run {run.id} is {run.state} and has not come to its hand-offs: ml-engineer runs resume {run.id}"
        )
    sealed = run.read("report.json")
    handoffs = Report.model_validate_json(sealed).handoffs if sealed else Made.model_validate_json(data).handoffs
    if not handoffs:
        return "No hand-off: no cue was worth one.\n"
    return visible("\n".join(why(handoff) for handoff in handoffs))
