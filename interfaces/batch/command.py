"""`ml-engineer batch SOURCE… --out DIR`: many repositories, and something that a platform team can act on."""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import os
import sys
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from ml_engineer.agent.budget import Caps
from ml_engineer.agent.client import ConfigError, Settings, open_client
from ml_engineer.agent.failures import ModelError
from ml_engineer.agent.prices import BATCH_SHARE
from ml_engineer.interfaces.batch.batches import Batches, NoBatches
from ml_engineer.interfaces.batch.clone import Cache, trim
from ml_engineer.interfaces.batch.cluster import ClusterEngine, ClusterError
from ml_engineer.interfaces.batch.compare import RULES_CHANGED, CompareError, headline, read_earlier
from ml_engineer.interfaces.batch.conduct import Plan, Watch, conduct
from ml_engineer.interfaces.batch.engine import WARM, WARM_MODEL, Engine
from ml_engineer.interfaces.batch.governor import Account, Governor
from ml_engineer.interfaces.batch.index import Index, IndexRefused
from ml_engineer.interfaces.batch.outputs import CHANGES, DASHBOARD, Against, Outputs
from ml_engineer.interfaces.batch.policy import PolicyError, read_policy
from ml_engineer.interfaces.batch.sources import SourceError, find_sources
from ml_engineer.interfaces.batch.summary import FINDINGS, SUMMARY, Summary, Verdict
from ml_engineer.interfaces.batch.watch import watching
from ml_engineer.interfaces.model import ModelChoice, model_options
from ml_engineer.interfaces.options import SEVERITIES, Format, Refusal
from ml_engineer.interfaces.pool import Pool
from ml_engineer.interfaces.termination import ends_politely
from ml_engineer.report.schema import Severity
from ml_engineer.report.text import one_line, plural

PROJECTIONS: tuple[Format, ...] = ("md", "html", "sarif")
_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
_WORST = 5
JOBS = 50  # repositories that one worker reviews before another takes its place
TIMEOUT, MODEL_TIMEOUT, PATIENT_TIMEOUT = 300.0, 3_600.0, 7 * 86_400.0  # seconds
MOST_IN_FLIGHT, WAITING = 64, 100_000_000  # repositories at once with --model-batches; bytes for one that waits


class Bytes(click.ParamType[int]):
    """A number of bytes, for example 500M or 2G."""

    name = "bytes"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        text = str(value).strip().lower().removesuffix("b")
        number, unit = (text[:-1], text[-1:]) if text[-1:] in _UNITS and not text[-1:].isdigit() else (text, "")
        try:
            size = int(float(number) * _UNITS[unit])
        except (ValueError, OverflowError):
            size = 0
        if size <= 0:
            self.fail(f"{value!r}: give a size above zero, for example 500M or 2G", param, ctx)
        return size


@click.command()
@click.argument("sources", nargs=-1, metavar="SOURCE…")
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="The folder of the batch.")
@click.option("--resume", is_flag=True, help="Go on with the batch in --out; with no SOURCE, with those it was given.")
@click.option("--retry", is_flag=True, help="Try again what has failed or is partial.")
@click.option("--refresh", is_flag=True, help="Review again what has changed: the revision, the files or the rules.")
@click.option("--include", multiple=True, metavar="PATTERN", help="Only these, by name or place. May be repeated.")
@click.option("--exclude", multiple=True, metavar="PATTERN", help="Not these. May be repeated.")
@click.option("--host", metavar="PREFIX", help="The server for a source like owner/name, e.g. https://git.example.org")
@click.option("--formats", default=",".join(PROJECTIONS), show_default=True, help="Beside the JSON of each report.")
@click.option("--engine", type=click.Choice(("local", "ray")), default="local", show_default=True)
@click.option(
    "--address", metavar="HOST:PORT", help="The head node of the Ray cluster; by default one on this machine."
)
@click.option("--workers", type=click.IntRange(1, 256), help="Repositories at once; by default one for each core.")
@click.option(
    "--timeout",
    type=click.FloatRange(1),
    help=f"Seconds for a repository; by default {TIMEOUT:.0f}, with a model an hour, with --model-batches a week.",
)
@click.option("--memory", type=Bytes(), default="2G", show_default=True, help="Memory for a repository.")
@click.option("--attempts", type=click.IntRange(1, 10), default=2, show_default=True, help="At a repository.")
@click.option("--cache", type=click.Path(path_type=Path, file_okay=False), help="Where clones are kept.")
@click.option("--max-cache", type=Bytes(), default="20G", show_default=True, help="Size of all clones together.")
@click.option("--max-repository", type=Bytes(), default="2G", show_default=True, help="Size of one clone.")
@click.option("--fail-on", type=click.Choice(SEVERITIES), help="Exit 1 where a finding is at or above this severity.")
@click.option(
    "--policy",
    type=click.Path(path_type=Path),
    metavar="FILE.toml",
    help="What is asked of every repository; exit 1 where it is not kept.",
)
@click.option(
    "--compare",
    type=click.Path(path_type=Path),
    metavar="OLD",
    help="Say what is new, fixed and moved since the batch in the folder OLD.",
)
@click.option("--offline", is_flag=True, help="Use no model, also where a key is configured.")
@click.option("--model-batches", is_flag=True, help="Ask by message batches: half the price, and hours of patience.")
@model_options
def batch(sources: tuple[str, ...], out: Path, resume: bool, **options: Any) -> None:
    """Review many repositories into the folder --out.

    A SOURCE is a folder, a pattern of folders, a URL that git can fetch, owner/name with --host, or a list of these: a
    file .txt, .csv (columns url, revision, scope, owner) or .jsonl.

    The same command goes on where it was cut off. Exit codes: 0 all were reviewed, nothing at or above --fail-on, the
    policy is kept; 1 it is not; 2 some were not reviewed, or not wholly; 130 interrupted (143 by SIGTERM).

    With a model, --max-cost and --max-turns hold for the whole batch, also over several runs of it.
    """
    try:
        found = find_sources(sources, host=options["host"], include=options["include"], exclude=options["exclude"])
    except SourceError as error:
        raise Refusal(str(error)) from error
    if options["engine"] == "ray" and options["workers"]:
        raise Refusal("--workers is for --engine local; a cluster uses all its cores")
    choice = ModelChoice(options["offline"], options["model"], options["max_cost"], options["max_turns"])
    settings = choice.settings()
    if options["model_batches"]:
        if options["engine"] == "ray":
            raise Refusal("--model-batches is for --engine local: what only waits needs no cluster")
        if settings is None:
            raise Refusal("--model-batches is for a batch with a model: set a key, or leave it out")
        if settings.provider != "anthropic":
            raise Refusal(f"there are no message batches at {settings.provider}; leave out --model-batches")
    if options["address"] and options["engine"] != "ray":
        raise Refusal("--address is that of a Ray cluster; add --engine ray")
    if not found and not resume:
        raise Refusal("no SOURCE is given; name repositories, or use --resume to go on with those of --out")
    if resume and not (out / "batch.db").is_file():
        raise Refusal(f"--resume: no batch was begun in {out}; leave --resume out to begin one")
    against = _against(out, options)
    try:
        with Index.open(out) as index, ends_politely():
            outputs = Outputs(out)
            outputs.recover(index)
            if found:
                index.enlist(found)
            if options["retry"]:
                index.retry()
            if options["refresh"]:
                index.refresh()
            summary = _work(index, outputs, options, against, choice.caps(), settings)
    except (IndexRefused, ClusterError, ConfigError, NoBatches, ModelError) as error:
        raise Refusal(str(error)) from error
    except OSError as error:
        raise Refusal(f"{out} cannot be written ({error}); what was done is kept, the same command goes on") from error
    _finish(summary, out)


def _against(out: Path, options: dict[str, Any]) -> Against:
    """What the results will be held against, read before the work begins. Raises Refusal."""
    policy: Path | None = options["policy"]
    earlier: Path | None = options["compare"]
    fail_on = Severity(options["fail_on"]) if options["fail_on"] else None
    if earlier is not None and out.resolve() in (earlier.resolve(), earlier.resolve().parent):
        raise Refusal(f"--compare {earlier} is the folder of this batch; keep a copy of {SUMMARY} and {FINDINGS}")
    try:
        asked = read_policy(policy) if policy is not None else None
        if asked is not None and not asked.demands and fail_on is None:
            raise Refusal(f"{policy} asks for nothing: fill [require] or [forbid], or add --fail-on")
        before = read_earlier(earlier) if earlier is not None else None
    except (PolicyError, CompareError) as error:
        raise Refusal(str(error)) from error
    return Against(datetime.datetime.now(datetime.UTC).date(), asked, fail_on, before)


def _work(
    index: Index, outputs: Outputs, options: dict[str, Any], against: Against, caps: Caps, settings: Settings | None
) -> Summary:
    """Do what is waiting, and write what came out also where that was cut off."""
    total = len(index.waiting())
    plan = Plan(
        cache=Cache(options["cache"] or _cache_folder(), options["max_cache"], options["max_repository"]),
        formats=_formats(options["formats"]),
        attempts=options["attempts"],
        model=settings.model if settings else None,
        batched=options["model_batches"],
    )
    try:
        if total:
            with watching(total) as watch:
                asyncio.run(_run(index, outputs, plan, watch, caps, settings, options))
    except KeyboardInterrupt:
        outputs.conclude(index, against)
        click.echo("The same command goes on where this was interrupted.", err=True)
        raise
    return outputs.conclude(index, against)


async def _run(
    index: Index,
    outputs: Outputs,
    plan: Plan,
    watch: Watch,
    caps: Caps,
    settings: Settings | None,
    options: dict[str, Any],
) -> None:
    async with contextlib.AsyncExitStack() as stack:
        engine = await stack.enter_async_context(_engine(options, plan))
        if settings is not None:
            cost, turns = index.spent()
            governor = Governor(caps, Account(cost, turns, index.keep_spent))
            if plan.batched:
                await stack.enter_async_context(_batched(governor, index, settings))
            host = engine.here if isinstance(engine, ClusterEngine) else None
            address = await stack.enter_async_context(governor.serving(host))
            plan = replace(plan, governor=governor, address=address)
        await conduct(index, outputs, engine, plan, watch)
    if plan.governor is not None and plan.governor.exhausted:
        click.echo(f"{plan.governor.exhausted}: raise it to go on with the same command", err=True)
    if any(source.kind == "git" for source in index.sources()):
        trim(plan.cache)


def _engine(options: dict[str, Any], plan: Plan) -> contextlib.AbstractAsyncContextManager[Engine]:
    patience = PATIENT_TIMEOUT if plan.batched else MODEL_TIMEOUT if plan.model is not None else TIMEOUT
    limits = {"memory": options["memory"], "seconds": options["timeout"] or patience}
    warm, jobs = (WARM, JOBS) if plan.model is None else (WARM_MODEL, 1)
    if options["engine"] == "ray":
        return ClusterEngine(options["address"], **limits, warm=warm)
    workers = options["workers"] or (in_flight() if plan.batched else len(os.sched_getaffinity(0)))
    return Pool(workers, **limits, warm=warm, jobs=jobs)


@contextlib.asynccontextmanager
async def _batched(governor: Governor, index: Index, settings: Settings) -> AsyncIterator[None]:
    """The governor sends what workers ask in message batches."""
    client = open_client(settings)
    try:
        async with Batches(client, governor, index).open() as batches:
            governor.share, governor.batches = BATCH_SHARE, batches.answer
            yield
    finally:
        await client.close()


def in_flight() -> int:
    """Repositories at once where nearly all of them wait for a message batch: as many as half of the memory holds."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(len(os.sched_getaffinity(0)), min(MOST_IN_FLIGHT, memory // 2 // WAITING))


def _cache_folder() -> Path:
    from ml_engineer.assessment.cache import folder

    return folder() / "repositories"


def _formats(text: str) -> tuple[Format, ...]:
    wanted = {part.strip() for part in text.split(",") if part.strip()} - {"json"}
    unknown = wanted - set(PROJECTIONS)
    if unknown:
        raise Refusal(f"--formats: {', '.join(sorted(unknown))} is not known; there are json, {', '.join(PROJECTIONS)}")
    return tuple(kind for kind in PROJECTIONS if kind in wanted)


# --- the result -------------------------------------------------------------------------------------------------------


def _finish(summary: Summary, out: Path) -> None:
    """Say what came out, and leave with the exit code that it asks for. Partial coverage is never green."""
    totals = summary.totals
    counts = [
        (totals.reviewed, "reviewed"),
        (totals.partial, "partial"),
        (totals.failed, "failed"),
        (totals.waiting, "waiting"),
    ]
    click.echo(f"{plural(totals.repositories, 'repository', 'repositories')}: {_counted(counts)}")
    click.echo(
        f"{plural(totals.findings, 'finding')}: {_counted([(n, s.value) for s, n in totals.by_severity.items()])}"
    )
    for row in summary.repositories[:_WORST]:
        found = _counted([(count, severity.value) for severity, count in row.by_severity.items()])
        click.echo(f"  {one_line(row.name)}: {one_line(row.error) if row.error else found}")
    if summary.comparison is not None:
        click.echo(f"Since the earlier batch: {headline(summary.comparison)}")
        if summary.comparison.rules_changed:
            click.echo(f"  {RULES_CHANGED}")
    if summary.policy is not None:
        _say_policy(summary.policy)
    names = [DASHBOARD, SUMMARY, FINDINGS, *([CHANGES] if summary.comparison else [])]
    click.echo("\n".join(str(out / name) for name in names))
    if summary.coverage == "partial":
        hint = "; --retry tries again what has failed" if totals.failed else ""
        click.echo(f"Coverage is partial: not every repository was reviewed as a whole{hint}", err=True)
        sys.exit(2)
    if summary.policy is not None and summary.policy.state == "failed":
        sys.exit(1)


def _say_policy(verdict: Verdict) -> None:
    """The verdict, the worst of what is not kept, and every exception that has expired."""
    broken = plural(len({breach.folder for breach in verdict.breaches}), "repository", "repositories")
    said = {"passed": "kept", "incomplete": "not all was looked at", "failed": f"not kept by {broken}"}
    click.echo(f"Policy: {said[verdict.state]}")
    texts: dict[str, list[str]] = {}
    for breach in verdict.breaches:
        texts.setdefault(breach.folder, [one_line(breach.repository)]).append(one_line(breach.text))
    for name, *broken_here in list(texts.values())[:_WORST]:
        click.echo(f"  {name}: {'; '.join(broken_here)}")
    if len(texts) > _WORST:
        click.echo(f"  and {len(texts) - _WORST:,} more, all in {SUMMARY} and in the dashboard")
    for one in verdict.exceptions:
        if one.state == "expired":
            again = f"{plural(one.findings, 'finding')} {'counts' if one.findings == 1 else 'count'} again"
            what = again if one.findings else "it fits no finding"
            click.echo(f"  exception expired on {one.until}: {one_line(one.repository)} {one.rule}; {what}")


def _counted(counts: list[tuple[int, str]]) -> str:
    return ", ".join(f"{count:,} {word}" for count, word in counts if count) or "none"
