"""The loops that benchmarks/lean.py compares, one process each: python lean_peers.py PEER --turns 50 …

Each does the same: ask, run Read on the file that is named, give the result, until there is no call. A peer's own
libraries are imported inside its function, as what an import costs is part of what is measured. All get the same system
prompt; all but ours, deepagents and pydantic-ai get the same eight tools with a sentence each.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

SYSTEM = "You bring machine-learning prototypes to production. " * 20  # about 1 KB
TASK = "Review this repository."
_NAMES = ("LS", "Read", "Grep", "Glob", "Bash", "Write", "Edit", "MultiEdit")
TOOLS = [
    {
        "name": name,
        "description": f"{name}: works on a file of the repository.",
        "input_schema": {
            "type": "object",
            "properties": {"file_path": {"type": "string", "description": "Path of the file."}},
            "required": ["file_path"],
        },
    }
    for name in _NAMES
]
CACHED = {"cache_control": {"type": "ephemeral"}}


_ready = [0.0]


def ready() -> None:
    """A peer has imported what it needs: CPU from here on is that of the turns."""
    _ready[0] = time.process_time()


def read(file_path: str) -> str:
    return Path(file_path).read_text()


def _head() -> dict[str, Any]:
    system = [{"type": "text", "text": SYSTEM, **CACHED}]
    return {"model": "scripted", "max_tokens": 4096, "system": system, "tools": TOOLS}


def _results(content: Any) -> list[dict[str, Any]]:
    calls = [block for block in content if block.type == "tool_use"]
    return [{"type": "tool_result", "tool_use_id": call.id, "content": read(call.input["file_path"])} for call in calls]


def _blocks(content: Any) -> list[dict[str, Any]]:
    return [block.model_dump(mode="json", exclude_none=True) for block in content]


def _marked(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    last = messages[-1]
    content = last["content"] if isinstance(last["content"], list) else [{"type": "text", "text": last["content"]}]
    return [*messages[:-1], {**last, "content": [*content[:-1], {**content[-1], **CACHED}]}]


async def sdk(sessions: int, folder: Path, *, stream: bool = False) -> None:
    """The bare loop over the SDK, nothing kept."""
    import anthropic

    client = anthropic.AsyncAnthropic()

    async def session() -> None:
        messages: list[dict[str, Any]] = [{"role": "user", "content": TASK}]
        while True:
            request: dict[str, Any] = {**_head(), "messages": _marked(messages)}
            if stream:
                async with client.messages.stream(**request) as answer:
                    message: Any = await answer.get_final_message()
            else:
                message = await client.messages.create(**request)
            messages.append({"role": "assistant", "content": _blocks(message.content)})
            if message.stop_reason != "tool_use":
                return
            messages.append({"role": "user", "content": _results(message.content)})

    ready()
    await asyncio.gather(*(session() for _ in range(sessions)))


async def sdk_stream(sessions: int, folder: Path) -> None:
    await sdk(sessions, folder, stream=True)


async def langgraph(sessions: int, folder: Path) -> None:
    """A graph of two nodes over the SDK, nothing kept."""
    import operator
    from typing import Annotated, TypedDict

    import anthropic
    from langgraph.graph import END, START, StateGraph

    client = anthropic.AsyncAnthropic()
    State = TypedDict("State", {"messages": Annotated[list, operator.add], "stop": str})  # noqa: UP013 (local)

    async def model(state: Any) -> Any:
        message = await client.messages.create(**_head(), messages=_marked(state["messages"]))  # type: ignore[call-overload]
        answer = {"role": "assistant", "content": _blocks(message.content)}
        return {"messages": [answer], "stop": message.stop_reason}

    async def tools(state: Any) -> Any:
        calls = [block for block in state["messages"][-1]["content"] if block["type"] == "tool_use"]
        results = [
            {"type": "tool_result", "tool_use_id": call["id"], "content": read(call["input"]["file_path"])}
            for call in calls
        ]
        return {"messages": [{"role": "user", "content": results}]}

    graph = StateGraph(State)
    graph.add_node("model", model)
    graph.add_node("tools", tools)
    graph.add_edge(START, "model")
    graph.add_conditional_edges("model", lambda state: "tools" if state["stop"] == "tool_use" else END)
    graph.add_edge("tools", "model")
    app = graph.compile()

    async def session() -> None:
        await app.ainvoke({"messages": [{"role": "user", "content": TASK}], "stop": ""}, {"recursion_limit": 1000})

    ready()
    await asyncio.gather(*(session() for _ in range(sessions)))


async def ours(sessions: int, folder: Path) -> None:
    """The product's loop with its own tools, transcript, ledger and log of events, all on disk and synced."""
    from ml_engineer.agent.client import find_settings, open_client
    from ml_engineer.agent.ending import Why
    from ml_engineer.agent.ledger import Ledger
    from ml_engineer.agent.listener import logged
    from ml_engineer.agent.runs import Run
    from ml_engineer.agent.toolbox import RepositoryTools
    from ml_engineer.agent.toolloop import ToolLoop
    from ml_engineer.agent.transcript import Transcript
    from ml_engineer.tools.context import open_context
    from ml_engineer.tools.registry import TOOLS as OWN

    settings = find_settings()
    assert settings is not None
    client = open_client(settings)
    own = {name: OWN[name] for name in _NAMES}

    async def session() -> None:
        run = Run.create({"mode": "benchmark"})
        assert run.folder is not None
        async with open_context(Path.cwd(), run.folder) as context:
            loop = ToolLoop(
                client,
                Transcript(run.folder / "step.jsonl"),
                RepositoryTools(context, own),
                [SYSTEM],
                ledger=Ledger(run.folder / "effects.jsonl"),
                notify=logged(run.event),
            )
            ending = await loop.run(TASK)
            assert ending.why is Why.ANSWERED, ending

    ready()
    await asyncio.gather(*(session() for _ in range(sessions)))


async def deepagents(sessions: int, folder: Path) -> None:
    """create_deep_agent with its own prompt and file tools, on the same folder."""
    from deepagents import create_deep_agent
    from deepagents.backends import FilesystemBackend
    from langchain_anthropic import ChatAnthropic
    from langchain_core.tools import tool

    @tool
    def Read(file_path: str) -> str:  # noqa: N802 (the name that the script calls)
        """Read a file of the repository."""
        return read(file_path)

    model = ChatAnthropic(model_name="scripted", max_tokens=4096, base_url=os.environ["ANTHROPIC_BASE_URL"])
    agent = create_deep_agent(model=model, tools=[Read], system_prompt=SYSTEM, backend=FilesystemBackend(root_dir="."))

    async def session() -> None:
        await agent.ainvoke({"messages": [{"role": "user", "content": TASK}]}, {"recursion_limit": 1000})

    ready()
    await asyncio.gather(*(session() for _ in range(sessions)))


async def pydantic_ai(sessions: int, folder: Path) -> None:
    """An Agent with the eight tools."""
    from pydantic_ai import Agent
    from pydantic_ai.models.anthropic import AnthropicModel
    from pydantic_ai.usage import UsageLimits

    agent = Agent(AnthropicModel("scripted"), system_prompt=SYSTEM)
    for name in _NAMES:
        agent.tool_plain(read, name=name)

    async def session() -> None:
        await agent.run(TASK, usage_limits=UsageLimits(request_limit=None))

    ready()
    await asyncio.gather(*(session() for _ in range(sessions)))


PEERS = {
    "sdk": sdk,
    "sdk_stream": sdk_stream,
    "langgraph": langgraph,
    "ours": ours,
    "deepagents": deepagents,
    "pydantic_ai": pydantic_ai,
}


def main() -> int:
    parser = argparse.ArgumentParser()
    parser.add_argument("peer", choices=PEERS)
    parser.add_argument("--sessions", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        os.environ["ML_ENGINEER_HOME"] = folder
        asyncio.run(PEERS[options.peer](options.sessions, Path(folder)))
        used = resource.getrusage(resource.RUSAGE_SELF)
        result = {"rss": used.ru_maxrss / 1024, "cpu": used.ru_utime + used.ru_stime, "ended": time.monotonic()}
        result["turns_cpu"] = time.process_time() - _ready[0]
        sys.stdout.write(json.dumps(result))
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
