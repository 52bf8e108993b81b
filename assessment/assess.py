"""The assessment: everything that can be known of a repository without a model, in one record.

`assess(root)` opens the snapshot, runs the rules, and gives findings, profile, claims for every field of the report and
the score. It reads, and only reads: nothing of the target is imported, executed or unpickled.
"""

from __future__ import annotations

import gc
import hashlib
from collections.abc import Sequence
from pathlib import Path

from ml_engineer.assessment import cache, engine, profile, score, suppress
from ml_engineer.assessment import claims as field_claims
from ml_engineer.assessment.engine import SHARED_FROM_FILES, Outcome
from ml_engineer.assessment.files import BINARY_SUFFIXES, MAX_TEXT_BYTES, File
from ml_engineer.assessment.parallel import portions, shared_out
from ml_engineer.assessment.record import Assessment
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import Rule, rules_version
from ml_engineer.assessment.rules_index import RuleInfo
from ml_engineer.assessment.rules_index import load as load_infos
from ml_engineer.assessment.secrets import without_secrets
from ml_engineer.report.schema import (
    Repository,
    SkippedFile,
)

MAX_SKIPPED_LISTED = 200
DIGESTED_AT_ONCE = 500  # files
CACHED_FROM_FILES = 300  # a smaller tree is assessed as fast as its cache entry could be checked


def assess(root: Path, rules: Sequence[Rule] | None = None) -> Assessment:
    """Assess the folder `root` (see `target.open_target`) by the given rules, by default all of them."""
    enabled = gc.isenabled()
    gc.disable()  # trees are large and acyclic where it matters: collecting them while they grow costs a fifth
    try:
        repo = Repo.open(root)
        key = _tree_key(repo, rules) if len(repo.files) >= CACHED_FROM_FILES else None
        known = cache.load_assessment(key) if key is not None else None
        if known is not None:
            return Assessment.model_validate_json(known)
        _ = repo.facts  # children are forked for them: before anything large is in memory
        outcomes = engine.run_all(repo) if rules is None else engine.run_rules(repo, rules)
        assessment = _conclude(repo, outcomes)
        if key is not None:
            cache.store_assessment(key, assessment.model_dump_json().encode())
        return assessment
    finally:
        if enabled:
            gc.enable()


def _tree_key(repo: Repo, rules: Sequence[RuleInfo] | None) -> str:
    """Digest of everything an assessment depends on: the engine, the rules, git's facts and the bytes of every file.

    Large and binary files count by size and time: only their heads are ever read.
    """
    version = rules_version(load_infos() if rules is None else rules)
    digest = hashlib.sha256(f"{cache.engine_digest()} {version} {repo.root}\n".encode())
    digest.update(f"{repo.git.revision} {repo.git.staged} {repo.git.url} {repo.skipped}\n".encode())
    if len(repo.files) >= SHARED_FROM_FILES:
        _digest_together([file for file in repo.files.values() if _counts_by_bytes(file)])
    for file in repo.files.values():
        content = file.sha256 if _counts_by_bytes(file) else file.mtime_ns
        digest.update(f"{file.path}\0{file.size}\0{file.tracked}\0{content}\n".encode())
    return digest.hexdigest()


def _counts_by_bytes(file: File) -> bool:
    return file.size <= MAX_TEXT_BYTES and file.suffix not in BINARY_SUFFIXES


def _digest_together(files: list[File]) -> None:
    """Take the digests of many files on all cores."""
    shares = portions(files, DIGESTED_AT_ONCE)
    for share, made in zip(shares, shared_out(_digests, shares), strict=True):
        for file, (digest, unread) in zip(share, made, strict=True):
            file.sha256, file.unread = digest, unread


def _digests(files: Sequence[File]) -> list[tuple[str, str | None]]:
    return [(file.sha256, file.unread) for file in files]


def _conclude(repo: Repo, outcomes: list[Outcome]) -> Assessment:
    found = engine.rank(repo, [finding for outcome in outcomes for finding in outcome.findings])
    findings, suppressed, notes = suppress.suppress(repo, suppress.read_settings(repo), found)
    facts = profile.build(repo)
    assessment = Assessment(
        repository=Repository(
            name=repo.root.name,
            path=str(repo.root),
            url=repo.git.url,
            revision=repo.git.revision,
            dirty=repo.dirty if repo.git.revision else None,
        ),
        rules_version=rules_version([outcome.rule for outcome in outcomes]),
        files_scanned=len(repo.files),
        files_skipped=[SkippedFile(path=path, reason=why) for path, why in repo.skipped[:MAX_SKIPPED_LISTED]],
        skipped_total=len(repo.skipped),
        notes=[*repo.git.notes, *_only_checked(repo), *notes],
        problems=[
            *(f"rule {outcome.rule.key} failed: {outcome.error}" for outcome in outcomes if outcome.error),
            *_unread(repo),
        ],
        profile=facts,
        claims=field_claims.build(repo),
        findings=findings,
        suppressed=suppressed,
        score=score.build(repo, outcomes, findings),
    )
    return without_secrets(assessment, repo.root)


def _only_checked(repo: Repo) -> list[str]:
    """Said where the tree is so large that only its machine-learning modules were looked into."""
    rest = len(repo.all_modules) - len(repo.modules)
    if not rest:
        return []
    total = len(repo.all_modules)
    looked = "were checked for imports, for syntax (tests were not), and where the others call into them"
    return [f"{rest:,} of {total:,} Python files are tests, library code or no machine learning: these {looked}"]


def _unread(repo: Repo) -> list[str]:
    """Source that exists but could not be looked at: what makes a review partial."""
    problems = [f"{path}: {why}" for path, why in repo.skipped if not path]
    for file in repo.files.values():
        if file.unread:
            problems.append(f"{file.path}: {file.unread}")
        elif file.suffix in (".py", ".ipynb") and file.size and not file.data:
            problems.append(f"{file.path}: {file.size:,} bytes are above the limit for source: not read")
    return problems
