"""M4-12: what is read goes into training without a check."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.ingestion import training_reads

    return bool(training_reads(repo))


@rule(
    id="MLE0412",
    name="no-data-validation",
    step=4,
    severity=MEDIUM,
    title="Training data is not checked before the fit",
    why="A missing column, a changed unit or an empty file trains a bad model, and nothing says so.",
    remedy="Check schema, types, missing values and ranges right after reading (Pandera, assertions).",
    source="ML Test Score, Data 1",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.ingestion import VALIDATORS, checks_data, checks_samples, training_reads
    from ml_engineer.assessment.learning import entry_closure, train_entries

    # A suite of data tests counts, wherever it stands.
    suites = set(VALIDATORS) - {"pydantic", "marshmallow", "jsonschema", "evidently", "whylogs"}  # those watch, too
    targets = {item.target for module in repo.modules for item in module.imports}
    if any(target.split(".")[0] in suites or target.startswith("evidently.test") for target in targets):
        return
    reads = [read for read in training_reads(repo) if not (read.sample and checks_samples(read.call))]
    checked = {
        call.node
        for entry in train_entries(repo)
        if checks_data((closure := entry_closure(repo, entry)).modules)
        for call in (read.call for read in reads)
        if closure.covers(call.module, call.node)
    }
    open_reads = [read for read in reads if read.call.node not in checked]
    if open_reads:
        looked_for = ("pandera", "great_expectations", "assert", "raise behind a check", "isna", "dtype=")
        modules = {read.call.module for read in open_reads}
        yield Hit(
            [repo.missing(read.call.site(), looked_for, modules) for read in open_reads],
            confidence="high" if open_reads[0].proven else "medium",
        )
