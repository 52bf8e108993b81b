"""The record of an assessment: what crosses from the engine to the workflow, as JSON."""

from ml_engineer.report.schema import Claim, Fact, Finding, Model, Repository, Score, SkippedFile, Suppressed


class Assessment(Model):
    """What the engine knows of a repository. Claims are by step and field name."""

    repository: Repository
    rules_version: str
    files_scanned: int
    files_skipped: list[SkippedFile]
    skipped_total: int
    notes: list[str]
    problems: list[str]  # what makes the coverage partial
    profile: list[Fact]
    claims: dict[int, dict[str, Claim]]
    findings: list[Finding]
    suppressed: list[Suppressed]
    score: Score
