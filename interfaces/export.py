"""`ml-engineer export claude-code DIR`: this product as a plugin of Claude Code.

    DIR/.claude-plugin/plugin.json     name, version, description
        .mcp.json                      the MCP server, `ml-engineer serve mcp`
        agents/*.md                    the ml-engineer and the six peers
        skills/<name>/SKILL.md         one for each main job
        README.md, LICENSE, .claude-plugin/icon.png

The texts are in `prompts/claude_code` and `prompts/peers`; the peers are the same files that a review hands over to.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib import metadata, resources
from importlib.resources.abc import Traversable
from pathlib import Path

import click

from ml_engineer import __version__
from ml_engineer.interfaces.options import Refusal
from ml_engineer.report.atomic import write_atomic

NAME = "ml-engineer"
MARK = Path(".claude-plugin", "plugin.json")


@click.group()
def export() -> None:
    """Write this product in the form that another system loads."""


@export.command("claude-code")
@click.argument("folder", metavar="DIR", type=click.Path(path_type=Path, file_okay=False))
@click.option("--command", default=NAME, show_default=True, help="The program that Claude Code starts as MCP server.")
def claude_code(folder: Path, command: str) -> None:
    """Write a Claude Code plugin to DIR: the agent, its six peers, skills, and the MCP server wired in.

    A plugin that was written there before is renewed; anything else in DIR is an error.
    """
    if folder.is_dir() and any(folder.iterdir()) and not _is_ours(folder):
        raise Refusal(f"{folder} is not empty and is no plugin of ours; name a new or an empty folder")
    files = dict(plugin(command))
    try:
        for path, data in files.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_atomic(target, data)
    except OSError as error:
        raise Refusal(f"the plugin cannot be written: {error}") from error
    click.echo(f"{folder}: {len(files)} files. Try it: claude --plugin-dir {folder}")
    if shutil.which(command) is None:
        click.echo(
            f"`{command}` is not on the PATH here, and Claude Code would not find it: install it for the user "
            "(pipx install ml-engineer), or give its place with --command.",
            err=True,
        )


def plugin(command: str) -> Iterator[tuple[str, bytes]]:
    """Each file of the plugin: its path inside it, and its content."""
    about = {
        "name": NAME,
        "version": __version__,
        "description": metadata.metadata(NAME)["Summary"],
        "author": {"name": "the ml-engineer developers"},
        "license": "MIT",
        "keywords": ["machine-learning", "mlops", "review", "production"],
    }
    server = {"command": command, "args": ["serve", "mcp"]}
    yield str(MARK), _json(about)
    yield ".mcp.json", _json({"mcpServers": {NAME: server}})
    prompts = resources.files("ml_engineer.prompts")
    texts = prompts / "claude_code"
    yield str(MARK.with_name("icon.png")), (texts / "icon.png").read_bytes()
    yield "README.md", (texts / "README.md").read_bytes()
    yield "LICENSE", _licence()
    yield f"agents/{NAME}.md", (texts / "agent.md").read_bytes()
    for peer in _sorted(prompts / "peers", ".md"):
        yield f"agents/{peer.name}", peer.read_bytes()
    for skill in _sorted(texts / "skills"):
        yield f"skills/{skill.name}/SKILL.md", (skill / "SKILL.md").read_bytes()


def _sorted(folder: Traversable, suffix: str = "") -> list[Traversable]:
    found = [one for one in folder.iterdir() if one.name.endswith(suffix) and not one.name.startswith(("_", "."))]
    return sorted(found, key=lambda one: one.name)


def _licence() -> bytes:
    """The licence that this very product came with."""
    for file in metadata.files(NAME) or ():
        if file.name == "LICENSE":
            return file.read_binary()
    # An editable install lists no such file; the checkout has it.
    return (Path(__file__).resolve().parents[1] / "LICENSE").read_bytes()


def _is_ours(folder: Path) -> bool:
    try:
        found = json.loads((folder / MARK).read_bytes())
    except (OSError, ValueError):
        return False
    return isinstance(found, dict) and found.get("name") == NAME


def _json(value: object) -> bytes:
    return json.dumps(value, indent=2).encode() + b"\n"
