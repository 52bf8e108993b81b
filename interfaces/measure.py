"""`ml-engineer measure benchmark|model|training`: the agent's measuring tools for a person at a terminal.

Figures go to stdout as text or JSON, and are kept as records below the state directory, `measurements/<id>/`. What is
measured runs in the sandbox. Exit code 0 when something was measured, 2 when not, with the reason.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, TypeVar

import click

from ml_engineer.agent.runs import home, new_id
from ml_engineer.interfaces.options import Refusal
from ml_engineer.report.visible import visible_json
from ml_engineer.tools.base import Tool, ToolResult
from ml_engineer.tools.benchmark import BENCHMARK
from ml_engineer.tools.checkpoints import Caps
from ml_engineer.tools.context import open_context
from ml_engineer.tools.launch import LaunchError
from ml_engineer.tools.profile_model import PROFILE_MODEL
from ml_engineer.tools.registry import invoke
from ml_engineer.tools.run_training import RUN_TRAINING
from ml_engineer.tools.sandbox import Level, Sandbox, choose

F = TypeVar("F", bound=Callable[..., Any])
Kind = Literal["text", "json"]
_UNDO_NOTHING = Caps(tree_file=0, tree=0)  # what changed is told; copies to undo it are the agent's matter
_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE", "HEAD")


@click.group()
def measure() -> None:
    """Measure a service, a model file or a training run, in the sandbox.

    Programs are found through PATH: activate the repository's environment first.
    """


def _common(function: F) -> F:
    function = click.option("--format", "kind", type=click.Choice(("text", "json")), default="text", show_default=True)(
        function
    )
    function = click.option("--network", is_flag=True, help="Let the command reach the network.")(function)
    function = click.option("--label", help="What the figures are called.")(function)
    return click.argument(
        "path", type=click.Path(path_type=Path, exists=True, file_okay=False), default=Path()
    )(function)  # fmt: skip


@measure.command()
@_common
@click.option("--command", required=True, help="Starts the service, in the foreground.")
@click.option("--port", type=int, required=True, help="The port that it listens on.")
@click.option(
    "--request", "requests", multiple=True, metavar="'METHOD PATH [BODY]'",
    help="One kind of request; BODY is JSON, or @FILE. Repeat it for a mix in equal shares.",
)  # fmt: skip
@click.option("--mix", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="The mix as a JSON file.")
@click.option("--ready", "ready_path", metavar="PATH", help="Answers 2xx once the service is ready.")
@click.option("--rate", type=float, help="Open loop: requests a second. Without it the loop is closed.")
@click.option("--concurrency", type=int, help="Closed loop: how many clients (default 4).")
@click.option("--duration", "duration_seconds", type=float, help="Seconds (default 10).")
@click.option("--startup", "startup_seconds", type=float, help="Seconds to become ready (default 60).")
@click.option("--write", is_flag=True, help="Let the service write in the repository.")
def benchmark(
    path: Path, requests: tuple[str, ...], mix: Path | None, label: str | None, network: bool, write: bool,
    kind: Kind, **options: Any,
) -> None:  # fmt: skip
    """Start a service, send it requests, and give its latency, throughput, errors, CPU and memory.

    \b
    ml-engineer measure benchmark --command 'gunicorn -b 127.0.0.1:8000 app:app' --port 8000 \\
        --ready /health --request 'POST /predict {"tenure": 3}'
    """
    kinds = [_request(one) for one in requests] + (_json_list(mix) if mix else [])
    if not kinds:
        raise click.UsageError("give at least one --request, for example --request 'GET /health', or a --mix")
    _run(BENCHMARK, {"label": label or kinds[0]["path"], "requests": kinds, **options}, path, network, write, kind)


@measure.command("model")
@_common
@click.option("--artefact", help="The model file, relative to the repository.")
@click.option("--loader", help="joblib (default), pickle, torch, onnxruntime, or module:function.")
@click.option("--python", help="What starts the repository's Python (default: python).")
@click.option("--method", help="The method to time (default: predict).")
@click.option("--rows", type=click.Path(path_type=Path, exists=True, dir_okay=False), help="JSON file: a list of rows.")
@click.option("--shape", help="Random rows of this shape, such as 12 or 3,224,224.")
@click.option("--make-batch", help="module:function of the repository that makes a batch of n rows.")
@click.option("--batch", "batch_sizes", type=int, multiple=True, help="Batch size; repeat it (default 1, 8, 64).")
@click.option("--repeats", type=int, help="Timed calls a batch size (default 50).")
def model(
    path: Path, rows: Path | None, shape: str | None, batch_sizes: tuple[int, ...], label: str | None, network: bool,
    kind: Kind, **options: Any,
) -> None:  # fmt: skip
    """Load a model file under the repository's own Python, and time how long it takes to predict.

    \b
    ml-engineer measure model --artefact models/model.pkl --loader pickle --shape 12 --batch 1 --batch 100
    """
    if (rows is not None) + (shape is not None) + (options["make_batch"] is not None) != 1:
        raise click.UsageError("give the input by one of --shape, --rows and --make-batch, for example --shape 12")
    label = label or Path(options["artefact"] or options["loader"] or "model").name
    given = {
        "label": label,
        "rows": _json_list(rows) if rows else None,
        "shape": _shape(shape) if shape else None,
        "batch_sizes": list(batch_sizes) or None,
    }
    _run(PROFILE_MODEL, given | options, path, network, False, kind)


@measure.command()
@_common
@click.option("--command", required=True, help="The training command.")
@click.option("--metrics", "metrics_files", multiple=True, help="Pattern of JSON files (default metrics.json).")
@click.option(
    "--pattern", "patterns", multiple=True, metavar="NAME=REGEX",
    help="A metric in the output; the regular expression has one group.",
)  # fmt: skip
@click.option("--time-limit", "time_limit_seconds", type=float, help="Seconds (default 600).")
def training(
    path: Path, metrics_files: tuple[str, ...], patterns: tuple[str, ...], label: str | None, network: bool,
    kind: Kind, **options: Any,
) -> None:  # fmt: skip
    """Run a training command, and give its time, memory and the metrics it wrote. It changes the repository as it does.

    \b
    ml-engineer measure training --command 'python train.py' --pattern 'accuracy=Final accuracy: ([0-9.]+)'
    """
    pairs = [pattern.partition("=") for pattern in patterns]
    if not all(sign for _, sign, _ in pairs):
        raise click.UsageError("--pattern is NAME=REGEX, for example --pattern 'accuracy=accuracy: ([0-9.]+)'")
    given = {
        "label": label or "training",
        "metrics_files": list(metrics_files) or None,
        "output_patterns": {name: pattern for name, _, pattern in pairs},
    }
    _run(RUN_TRAINING, given | options, path, network, True, kind)


# --- from the command line to the tool --------------------------------------------------------------------------------


def _request(text: str) -> dict[str, Any]:
    method, _, rest = text.strip().partition(" ")
    path, _, body = rest.strip().partition(" ")
    if method not in _METHODS or not path.startswith("/"):
        raise click.UsageError(f"--request {text!r}: say METHOD PATH [BODY], for example 'POST /predict {{\"x\": 1}}'")
    body = body.strip()
    if not body:
        return {"method": method, "path": path}
    if body.startswith("@"):
        return {"method": method, "path": path, "body_file": body[1:]}
    try:
        return {"method": method, "path": path, "json": json.loads(body)}
    except ValueError as error:
        raise click.UsageError(
            f"--request {text!r}: its body is no JSON ({error}); for other bodies use @FILE"
        ) from None


def _json_list(path: Path) -> list[Any]:
    try:
        value = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise click.UsageError(f"{path} cannot be read as JSON: {error}") from None
    if not isinstance(value, list):
        raise click.UsageError(f"{path} must hold a JSON list")
    return value


def _shape(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError:
        raise click.UsageError(f"--shape {text!r}: give numbers, separated by commas, for example 3,224,224") from None


def _run(tool: Tool[Any], given: dict[str, Any], path: Path, network: bool, write: bool, kind: Kind) -> None:
    """Measures, keeps the records, and prints. Options that were not given are left to the tool's defaults."""
    raw = {name: value for name, value in given.items() if value is not None}
    with open_sandbox(path.resolve(), writable=write) as sandbox:
        click.echo(sandbox.banner(), err=True)
        if sandbox.level is Level.OFF:
            _confirm_unconfined()
        result, folder = asyncio.run(measure_in(sandbox, tool, raw, path.resolve(), network=network))
    if kind == "json":
        body = {"error": result.text} if result.is_error else result.data | {"folder": str(folder)}
        click.echo(visible_json(json.dumps(body, indent=2, ensure_ascii=False)))
    elif not result.is_error:
        click.echo(result.text)
    if result.is_error:
        raise Refusal(result.text)


def _confirm_unconfined() -> None:
    """Where nothing confines a command, a person must say yes to it."""
    if not sys.stdin.isatty():
        raise Refusal("nothing confines commands here and nobody can be asked, so nothing was run")
    click.confirm("Run it unconfined, with all your rights?", abort=True, err=True)


# --- measuring, for every interface -----------------------------------------------------------------------------------


@contextlib.contextmanager
def open_sandbox(root: Path, *, writable: bool) -> Iterator[Sandbox]:
    """The strongest sandbox there is for commands in `root`. Its level may be off: then a person decides."""
    with tempfile.TemporaryDirectory(prefix="ml-engineer-") as scratch:
        try:
            sandbox = choose(root, Path(scratch), writable=writable)
        except LaunchError as error:
            raise Refusal(str(error)) from error
        yield sandbox


async def measure_in(
    sandbox: Sandbox, tool: Tool[Any], raw: dict[str, Any], root: Path, *, network: bool
) -> tuple[ToolResult, Path | None]:
    """The result of one call of a measuring tool, and the folder with its records, None where it is an error.

    Refusal where the records cannot be kept.
    """
    with tempfile.TemporaryDirectory(prefix="ml-engineer-") as scratch:
        opening = open_context(root, Path(scratch), launcher=sandbox, network=network, caps=_UNDO_NOTHING, fsync=False)
        async with opening as context:
            result = await invoke(tool.name, raw, context, {tool.name: tool})
        if result.is_error:
            return result, None
        folder = _keep(Path(scratch))
    text = result.text.replace("in the run's directory. Cite a figure by its name.", f"in {folder}")
    return replace(result, text=text), folder


def _keep(run_dir: Path) -> Path:
    folder = home() / "measurements" / new_id()
    try:
        folder.mkdir(parents=True, mode=0o700)
        shutil.move(run_dir / "measurements", folder)
    except OSError as error:
        raise Refusal(f"the records cannot be kept in {folder}: {error.strerror}; set ML_ENGINEER_HOME") from error
    return folder
