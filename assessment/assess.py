"""The assessment: everything that can be known of a repository without a model, in one record.

`assess(root)` opens the snapshot, runs the rules, and gives findings, profile, claims for every field of the report and
the score. It reads, and only reads: nothing of the target is imported, executed or unpickled.
"""

from __future__ import annotations

import gc
from collections.abc import Sequence
from pathlib import Path

from ml_engineer.assessment import claims as field_claims
from ml_engineer.assessment import engine, profile, score, suppress
from ml_engineer.assessment.engine import Outcome
from ml_engineer.assessment.record import Assessment
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import Rule, all_rules, rules_version
from ml_engineer.report.schema import (
    Repository,
    SkippedFile,
)

MAX_SKIPPED_LISTED = 200


def assess(root: Path, rules: Sequence[Rule] | None = None) -> Assessment:
    """Assess the folder `root` (see `target.open_target`) by the given rules, by default all of them."""
    rules = all_rules() if rules is None else rules
    enabled = gc.isenabled()
    gc.disable()  # trees are large and acyclic where it matters: collecting them while they grow costs a fifth
    try:
        repo = Repo.open(root)
        outcomes = engine.run_rules(repo, rules)
        return _conclude(repo, rules, outcomes)
    finally:
        if enabled:
            gc.enable()


def _conclude(repo: Repo, rules: Sequence[Rule], outcomes: list[Outcome]) -> Assessment:
    found = engine.rank(repo, [finding for outcome in outcomes for finding in outcome.findings])
    findings, suppressed, notes = suppress.suppress(repo, suppress.read_settings(repo), found)
    facts = profile.build(repo)
    return Assessment(
        repository=Repository(
            name=repo.root.name,
            path=str(repo.root),
            url=repo.git.url,
            revision=repo.git.revision,
            dirty=repo.dirty if repo.git.revision else None,
        ),
        rules_version=rules_version(rules),
        files_scanned=len(repo.files),
        files_skipped=[SkippedFile(path=path, reason=why) for path, why in repo.skipped[:MAX_SKIPPED_LISTED]],
        skipped_total=len(repo.skipped),
        notes=[*repo.git.notes, *notes],
        problems=[
            *(f"rule {outcome.rule.id} failed: {outcome.error}" for outcome in outcomes if outcome.error),
            *_unread(repo),
        ],
        profile=facts,
        claims=field_claims.build(repo),
        findings=findings,
        suppressed=suppressed,
        score=score.build(repo, outcomes, findings),
    )


def _unread(repo: Repo) -> list[str]:
    """Source that exists but could not be looked at: what makes a review partial."""
    problems = [f"{path}: {why}" for path, why in repo.skipped if not path]
    for file in repo.files.values():
        if file.unread:
            problems.append(f"{file.path}: {file.unread}")
        elif file.suffix in (".py", ".ipynb") and file.size and not file.data:
            problems.append(f"{file.path}: {file.size:,} bytes are above the limit for source: not read")
    return problems
