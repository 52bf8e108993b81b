"""The product's vocabulary: evidence, findings, claims, step records and the report.

Everything that a report says is one of these models. The sealed JSON of `Report` is the truth; Markdown, HTML, SARIF
and the terminal view are projections of it and can be made again later. The names are fixed: other programs read them.

Lines are 1-based. In a notebook, `cell` is the 0-based cell index and lines count inside that cell.
Paths are relative to the repository's root, with forward slashes.
"""

# No `from __future__ import annotations`: pydantic would have to evaluate each field's annotation from its text.
from enum import StrEnum
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from ml_engineer.report.visible import visible_json

SCHEMA_VERSION = "1.0"


class Model(BaseModel):
    """Base of all records: an unknown field is an error, so that a typo cannot pass for data.

    Each class is built where it stands: whichever uses it then need not build it again.
    """

    model_config = ConfigDict(extra="forbid")


class Severity(StrEnum):
    CRITICAL = "critical"
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"

    @property
    def rank(self) -> int:
        """0 for critical, 4 for info: sort by it to put the worst first."""
        return _SEVERITY_RANKS[self]


class Confidence(StrEnum):
    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"

    @property
    def rank(self) -> int:
        """0 for high, 2 for low."""
        return _CONFIDENCE_RANKS[self]


_SEVERITY_RANKS = {severity: rank for rank, severity in enumerate(Severity)}
_CONFIDENCE_RANKS = {confidence: rank for rank, confidence in enumerate(Confidence)}


# --- evidence ---------------------------------------------------------------------------------------------------------


class Quote(Model):
    """Text that stands in a file. The evidence check reads it again from the file's bytes."""

    kind: Literal["quote"] = "quote"
    path: str
    line_start: int = Field(ge=1)
    line_end: int = Field(ge=1)
    quote: str
    sha256: str = Field(description="SHA-256 of the whole file, in hex")
    cell: int | None = Field(default=None, ge=0, description="0-based cell index, for notebooks only")
    note: str | None = None


class CommandRun(Model):
    """A command that ran, with its exit code and a piece of what it printed."""

    kind: Literal["command"] = "command"
    command: str
    exit_code: int
    excerpt: str = ""
    record: str = Field(description="where the whole output is kept, relative to the run's directory")


class Measurement(Model):
    """A number that was measured, and how."""

    kind: Literal["measurement"] = "measurement"
    name: str
    value: float
    unit: str
    samples: int = Field(ge=1)
    method: str
    record: str = Field(description="where the raw figures are kept, relative to the run's directory")


class Place(Model):
    """A line of a file."""

    path: str
    line: int = Field(ge=1)
    cell: int | None = Field(default=None, ge=0)
    quote: str = ""
    sha256: str = ""


class Searched(Model):
    """What was looked for, and where, before something was called absent."""

    patterns: list[str]
    files: list[str] = Field(description="files looked at, or globs with a count where there are many")


class Absence(Model):
    """There is no X: the place that needs it, and what was searched."""

    kind: Literal["absence"] = "absence"
    need: Place
    searched: Searched


Evidence = Annotated[Quote | CommandRun | Measurement | Absence, Field(discriminator="kind")]


# --- findings, claims, steps ------------------------------------------------------------------------------------------


class Finding(Model):
    """One root cause, with every place where it shows."""

    rule: str
    step: int = Field(ge=1, le=10)
    severity: Severity
    confidence: Confidence
    title: str
    why: str
    remedy: str
    evidence: list[Evidence] = Field(min_length=1)
    peers: list[str] = []
    source: str = Field(description="what the rule rests on")
    fingerprint: str = Field(description="rule and semantic anchor, never a line number")


class ClaimState(StrEnum):
    MEASURED = "measured"
    IMPLEMENTED = "implemented"
    PRESENT = "present"
    PROPOSED = "proposed"
    ABSENT = "absent"
    UNKNOWN = "unknown"


class Claim(Model):
    """The value of one field of the report."""

    text: str
    state: ClaimState
    evidence: list[Evidence] = []


class TokenUsage(Model):
    input: int = 0
    output: int = 0
    cache_read: int = 0
    cache_write: int = 0


class Usage(Model):
    """What was spent. `cost_usd` is a number, or "unpriced" where a price is not known: never a guess."""

    turns: int = 0
    tokens: TokenUsage = TokenUsage()
    cost_usd: float | Literal["unpriced"] = 0.0
    by_agent: dict[str, "Usage"] = {}


class HandoffState(StrEnum):
    QUEUED = "queued"
    ANSWERED = "answered"
    DECLINED = "declined"
    FAILED = "failed"


class PeerReply(Model):
    """What a peer said: quoted material with its origin, checked like everything else."""

    state: HandoffState
    answer: str = ""
    claims: list[Claim] = []
    artifacts: list[str] = []
    usage: Usage = Usage()
    error: str | None = None


class Handoff(Model):
    """A question handed to a peer agent."""

    id: str
    peer: str
    cue: str
    question: str
    context: str = ""
    evidence: list[Evidence] = []
    expected: str = ""
    state: HandoffState = HandoffState.QUEUED
    brief: str | None = Field(default=None, description="path of the brief, relative to the run's directory")
    reply: PeerReply | None = None


class StepState(StrEnum):
    DONE = "done"
    SKIPPED = "skipped"
    DEFERRED = "deferred"
    FAILED = "failed"


class Change(Model):
    """A file that the run changed."""

    path: str
    summary: str
    commit: str | None = None


class StepRecord(Model):
    """How one step of the workflow ended."""

    step: int = Field(ge=1, le=10)
    name: str
    state: StepState
    reason: str | None = None
    summary: str = ""
    findings: list[Finding] = []
    claims: dict[str, Claim] = {}
    handoffs: list[Handoff] = []
    changes: list[Change] = []
    usage: Usage = Usage()


# --- the report -------------------------------------------------------------------------------------------------------


class Tool(Model):
    name: str = "ml-engineer"
    version: str
    rules_version: str = Field(description="digest of the rules' metadata, equal where the rules are equal")


class Run(Model):
    id: str
    mode: Literal["review", "implement"]
    model: str | None = Field(default=None, description="the model asked, or null: without a model")
    started: str = Field(description="UTC, ISO 8601")
    finished: str = Field(description="UTC, ISO 8601")
    sandbox: str | None = None
    notes: list[str] = []


class Repository(Model):
    name: str
    path: str | None = None
    url: str | None = None
    revision: str | None = Field(default=None, description="full commit id, or null where there is no git history")
    dirty: bool | None = None


class SkippedFile(Model):
    path: str
    reason: str


class CoveredStep(Model):
    step: int
    name: str
    state: StepState
    reason: str | None = None


class Coverage(Model):
    """What was looked at. `partial` as soon as a step did not end, or a file that matters could not be read."""

    state: Literal["complete", "partial"]
    steps: list[CoveredStep] = []
    files_scanned: int = 0
    files_skipped: list[SkippedFile] = []
    skipped_total: int = 0
    notes: list[str] = []


class Fact(Model):
    """A fact about the repository, with its evidence."""

    name: str
    value: str
    evidence: list[Evidence] = []


class PipelineRow(Model):
    """A row of the Training Pipeline table."""

    stage: Literal["Data Prep", "Training", "Validation"]
    tool: Claim
    automation: Claim
    monitoring: Claim


class Sections(Model):
    """The seven sections of the report: section title -> field name -> claim, in the specification's order.

    `training_pipeline` is the table of the second section.
    """

    model_deployment: dict[str, Claim]
    training_pipeline: list[PipelineRow]
    performance_metrics: dict[str, Claim]
    ml_infrastructure: dict[str, Claim]
    integration_points: dict[str, Claim]
    mlops_implementation: dict[str, Claim]
    monitoring_alerts: dict[str, Claim]


class TestState(StrEnum):
    AUTOMATED = "automated"
    MANUAL = "manual"
    NOT_OBSERVED = "not observed"
    NOT_OBSERVABLE = "not observable"


class ScoredTest(Model):
    """One of the 28 tests of the ML Test Score. `not observable` is never counted as failed."""

    id: str = Field(description="for example Data-1")
    section: Literal["Data", "Model", "Infrastructure", "Monitoring"]
    title: str
    state: TestState
    points: float = Field(ge=0, le=1)
    reason: str = ""
    evidence: list[Evidence] = []


class StepScore(Model):
    """Readiness of one step: the share of applicable checks that hold, 0 to 100, or null where none applies."""

    step: int
    name: str
    readiness: int | None
    checks_applicable: int
    checks_failed: int


class Score(Model):
    ml_test_score: float = Field(description="the minimum of the four sections")
    sections: dict[str, float]
    observable: dict[str, int] = Field(description="tests of each section that can be observed in a repository")
    tests: list[ScoredTest]
    steps: list[StepScore]
    maturity: str = Field(description="one line, derived from the tests")


class EvidenceCheck(Model):
    checked: int = 0
    repaired: int = 0
    dropped: int = 0
    dropped_items: list[str] = Field(default=[], description="what was dropped, and why, a line each")


class Suppressed(Model):
    """A finding that the repository's owner has put aside, with the reason given."""

    rule: str
    path: str
    line: int | None = None
    reason: str
    origin: Literal["inline", "pyproject", "baseline"]
    fingerprint: str = ""


class Report(Model):
    """The sealed result of a run."""

    schema_version: str = SCHEMA_VERSION
    tool: Tool
    run: Run
    repository: Repository
    coverage: Coverage
    profile: list[Fact]
    sections: Sections
    steps: list[StepRecord] = Field(default=[], description="how each step ended; its findings are in `findings`")
    findings: list[Finding]
    suppressed: list[Suppressed] = []
    handoffs: list[Handoff] = []
    score: Score
    evidence_check: EvidenceCheck
    usage: Usage = Usage()
    digest: str = Field(default="", description="SHA-256 over the canonical JSON with this field empty")

    def to_json(self) -> str:
        """The report as JSON, fields in declared order, two-space indent, newline at the end, fit for a terminal."""
        return visible_json(self.model_dump_json(indent=2)) + "\n"


STEP_NAMES: dict[int, str] = {
    1: "Model Assessment",
    2: "Architecture Design",
    3: "Code Refactoring",
    4: "Training Pipeline",
    5: "Model Deployment",
    6: "Performance Optimization",
    7: "Monitoring Implementation",
    8: "CI/CD Integration",
    9: "Infrastructure Management",
    10: "Version Control",
}

# Section attribute -> (title, fields in order). Field -> the step that owns it.
SECTION_FIELDS: dict[str, tuple[str, dict[str, int]]] = {
    "model_deployment": (
        "Model Deployment",
        {"Model Type": 1, "Deployment Pattern": 2, "Infrastructure": 9, "Serving Framework": 5},
    ),
    "performance_metrics": (
        "Performance Metrics",
        {"Latency": 6, "Throughput": 6, "Resource Usage": 6, "Accuracy": 1},
    ),
    "ml_infrastructure": (
        "ML Infrastructure",
        {"Training Environment": 4, "Model Registry": 10, "Feature Store": 4, "Monitoring Stack": 7},
    ),
    "integration_points": (
        "Integration Points",
        {"API Endpoints": 5, "Data Sources": 4, "Application Integration": 2, "Feedback Loops": 7},
    ),
    "mlops_implementation": (
        "MLOps Implementation",
        {"CI/CD Pipeline": 8, "Experiment Tracking": 10, "A/B Testing": 5, "Rollback Strategy": 5},
    ),
    "monitoring_alerts": (
        "Monitoring & Alerts",
        {"Model Drift": 7, "Performance Degradation": 7, "Infrastructure Health": 9, "Data Quality": 7},
    ),
}
PIPELINE_STAGES: tuple[str, ...] = ("Data Prep", "Training", "Validation")
PIPELINE_COLUMNS: tuple[str, ...] = ("Tool/Framework", "Automation", "Monitoring")


def pipeline_claim_name(stage: str, column: str) -> str:
    """Key of a Training Pipeline cell in `StepRecord.claims`, for example "Training / Automation"."""
    return f"{stage} / {column}"


Json = dict[str, Any]
