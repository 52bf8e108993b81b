"""The unit of work of a batch: one repository, from its source to everything that is kept of its review.

    product = review_unit(order, send)      in a child of its own (interfaces.pool), on this machine or another

An order and a product are plain JSON values, so that any engine can carry them. The same repository gives the same
bytes, whatever else is in the batch, whoever works on it and when: the run's id is a digest of what was assessed, and
its times are those of the commit, or the beginning of time where there is none.

Without a model the functions of the workflow's nodes are called one after the other: LangGraph's checkpoints buy
nothing for a piece of work that is small enough to be done again, and cost more than the rest of it.
"""

from __future__ import annotations

import asyncio
import contextlib
import datetime
import gc
import hashlib
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ml_engineer.agent import handoffs, synthesise
from ml_engineer.agent.runs import Run
from ml_engineer.assessment.assess import assess
from ml_engineer.assessment.files import MAX_FILES, SKIPPED_FOLDERS
from ml_engineer.assessment.parallel import work_alone
from ml_engineer.assessment.record import Assessment
from ml_engineer.assessment.rule import all_rules, rules_version
from ml_engineer.assessment.target import TargetError, open_target
from ml_engineer.delegation.routing import route
from ml_engineer.interfaces.batch.clone import Cache, FetchError, fetched, plain_environment, revision_of
from ml_engineer.interfaces.batch.sources import Source
from ml_engineer.interfaces.batch.summary import Row, blank_row, faults_of, row_of
from ml_engineer.interfaces.jobs import Listen
from ml_engineer.interfaces.options import Format, Refusal
from ml_engineer.interfaces.render import render
from ml_engineer.report.evidence import check_report
from ml_engineer.report.schema import STEP_NAMES, Report, Severity
from ml_engineer.report.seal import seal

NO_HISTORY = "1970-01-01T00:00:00Z"
TIMES = "Part of a batch: its times are those of the commit, so that the same content gives the same report."


class Again(Exception):
    """It could not be done now; later it may. The message says why."""


@dataclass(frozen=True)
class Order:
    """What is to be done. `known` is what was reviewed of it before (fingerprint, edition): where that still holds,
    nothing is done. `asking` is how a model is asked, or None."""

    source: Source
    cache: Cache
    formats: tuple[Format, ...]
    known: tuple[str, str] | None = None
    asking: dict[str, Any] | None = None

    def record(self) -> dict[str, Any]:
        cache = {"folder": str(self.cache.folder), "limit": self.cache.limit, "repository": self.cache.repository}
        return {
            "source": self.source.record(),
            "cache": cache,
            "formats": list(self.formats),
            "known": self.known,
            "asking": self.asking,
        }

    @classmethod
    def of(cls, record: dict[str, Any]) -> Order:
        cache = record["cache"]
        known = record["known"]
        return cls(
            Source(**record["source"]),
            Cache(Path(cache["folder"]), cache["limit"], cache["repository"]),
            tuple(record["formats"]),
            (known[0], known[1]) if known else None,
            record["asking"],
        )

    @property
    def edition(self) -> str:
        """Who reviews: other rules or another model find other things in the same content."""
        return f"{rules_version(all_rules())} {self.asking['model'] if self.asking else 'without a model'}"


@dataclass(frozen=True)
class Target:
    """What was found at the source. `fingerprint` changes when the repository does."""

    root: Path
    fingerprint: str
    revision: str | None = None  # of a copy that was fetched


def review_unit(given: dict[str, Any], send: Listen) -> dict[str, Any]:
    """Review one repository: its product as JSON values, `{"unchanged": true}`, or `{"again": why}`.

    Raises Refusal where it cannot be reviewed, and trying again would not help.
    """
    gc.disable()  # what a review leaves behind is collected after it (interfaces.pool)
    work_alone()
    plain_environment()
    order = Order.of(given)
    try:
        with _found(order.source, order.cache) as target:
            if order.known == (target.fingerprint, order.edition):
                return {"unchanged": True}
            if order.asking is None:
                report, briefs = review_offline(order.source, target)
            else:
                report, briefs = _modelled(order, target)
            return {"fingerprint": target.fingerprint, "edition": order.edition, **product(report, order, briefs)}
    except Again as error:
        return {"again": str(error)}
    except TargetError as error:
        raise Refusal(str(error)) from error


def product(report: Report, order: Order, briefs: dict[str, str]) -> dict[str, Any]:
    """Everything that is kept of a review: the files of its folder, its row, and its findings in short."""
    files = {"report.json": report.to_json()} | briefs
    files |= {f"report.{kind}": render(report, kind) for kind in order.formats if kind != "json"}
    row: Row = row_of(report, blank_row(order.source))
    return {
        "files": files,
        "row": row.model_dump(mode="json"),
        "faults": [fault.model_dump(mode="json") for fault in faults_of(report)],
    }


@contextlib.contextmanager
def _found(source: Source, cache: Cache) -> Iterator[Target]:
    if source.kind == "path":
        root = open_target(_inside(Path(source.place), source.scope))
        yield Target(root, state_of(root))
        return
    try:
        revision = revision_of(source)
        with fetched(source, cache, revision) as copy:
            yield Target(open_target(_inside(copy.root, source.scope)), revision, revision)
    except FetchError as error:
        if error.again:
            raise Again(str(error)) from error
        raise Refusal(str(error)) from error


def _inside(root: Path, scope: str) -> Path:
    """The scope's folder, which must not lead out of the repository by a link."""
    folder = (root / scope).resolve()
    if not folder.is_relative_to(root.resolve()):
        raise TargetError(f"{root / scope}: this leads out of the repository; give a folder inside it")
    return folder


def state_of(root: Path) -> str:
    """Digest of what stands in a folder, by names, sizes and times, and of git's HEAD: cheap, and never the same
    after a change."""
    digest = hashlib.sha256()
    for name in ("HEAD", "index"):
        with contextlib.suppress(OSError):
            status = (root / ".git" / name).lstat()
            digest.update(f"{name} {status.st_size} {status.st_mtime_ns}\n".encode())
    count, stack = 0, [root]
    while stack and count < MAX_FILES:
        folder = stack.pop()
        with contextlib.suppress(OSError):  # what cannot be listed is said by the review
            for entry in sorted(os.scandir(folder), key=lambda entry: entry.name):
                count += 1
                if entry.is_dir(follow_symlinks=False):
                    if entry.name not in SKIPPED_FOLDERS:
                        stack.append(Path(entry.path))
                    continue
                status = entry.stat(follow_symlinks=False)
                line = f"{entry.path}\0{status.st_size}\0{status.st_mtime_ns}\n"
                digest.update(line.encode("utf-8", "surrogateescape"))
    return digest.hexdigest()


# --- the review -------------------------------------------------------------------------------------------------------


def review_offline(source: Source, target: Target) -> tuple[Report, dict[str, str]]:
    """The sealed report without a model, and the briefs for peers by name of their file."""
    assessment = _settled(assess(target.root), source, target)
    run = Run.in_memory({})  # holds the briefs; its own id and time are not those of the report
    records = [synthesise.step_record(assessment, step, wanted=True) for step in STEP_NAMES]
    claims = {name: claim for record in records for name, claim in record.claims.items()}
    made, briefs = asyncio.run(_queued(run, target.root, assessment, claims))
    report = synthesise.report(
        assessment, records, made=made, run_id=run_id(source, assessment), started=_moment(target.root, assessment)
    )
    report = report.model_copy(update={"run": report.run.model_copy(update={"notes": [TIMES]})})
    return seal(check_report(report, target.root, None)), briefs


def _modelled(order: Order, target: Target) -> tuple[Report, dict[str, str]]:
    """The same with a model."""
    from ml_engineer.interfaces.batch.modelled import Asking, review_with_model

    gc.enable()
    asking = Asking(**(order.asking or {}))
    assessment = _settled(assess(target.root), order.source, target)
    identity = run_id(order.source, assessment)
    report = review_with_model(target.root, assessment, asking, identity, _moment(target.root, assessment))
    paths = [one.brief for one in report.handoffs if one.brief is not None]
    return report, {path: (Path(asking.folder) / path).read_text("utf-8") for path in paths}


async def _queued(
    run: Run, root: Path, assessment: Assessment, claims: dict[str, Any]
) -> tuple[handoffs.Made, dict[str, str]]:
    """The hand-offs: nobody is asked, every brief is queued."""
    peers = handoffs.open_peers(run, root, assessment.repository.name, ask=False)
    routed = route(assessment.findings, claims, "", Severity(peers.settings.threshold))
    done = [await peers.desk.hand(one, peers.chain) for one in routed]
    briefs = {one.brief: run.read(one.brief) for one in done if one.brief is not None}
    return handoffs.Made(handoffs=done), {name: data.decode() for name, data in briefs.items() if data is not None}


def _settled(assessment: Assessment, source: Source, target: Target) -> Assessment:
    """The assessment under the name of its source: where a copy lies on this machine is nobody's business."""
    known: dict[str, Any] = {"name": source.name}
    if target.revision is not None:
        # A copy is what its commit says, though a file that was left at the server is absent from it.
        known |= {"path": None, "url": source.shown, "revision": target.revision, "dirty": False}
    return assessment.model_copy(update={"repository": assessment.repository.model_copy(update=known)})


def run_id(source: Source, assessment: Assessment) -> str:
    """The same for the same repository, content and rules."""
    digest = hashlib.sha256(f"{source.identity}\n".encode("utf-8", "surrogateescape"))
    digest.update(assessment.model_dump_json().encode())
    return f"batch-{digest.hexdigest()[:16]}"


def _moment(root: Path, assessment: Assessment) -> str:
    """When the commit was made, UTC: a time of the report that does not depend on when it was made."""
    revision = assessment.repository.revision
    if revision is None:
        return NO_HISTORY
    command = ["git", "-c", "core.fsmonitor=false", "-c", "safe.directory=*", "-C", str(root), "cat-file", "commit"]
    nothing_fetched = os.environ | {"GIT_ALLOW_PROTOCOL": "none"}
    shown = subprocess.run(
        [*command, revision], capture_output=True, stdin=subprocess.DEVNULL, env=nothing_fetched, check=False
    )
    for line in shown.stdout.splitlines():
        if line.startswith(b"committer "):
            with contextlib.suppress(ValueError, OverflowError, IndexError):
                seconds = int(line.split()[-2])
                return datetime.datetime.fromtimestamp(seconds, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return NO_HISTORY
