"""What a rule is: metadata and one function that yields hits.

A rule lives in one file of `assessment/rules/`, named after its id, and registers itself by the decorator:

    @rule(id="MLE0501", name="torch-load", step=5, severity=HIGH, title="…", why="…", remedy="…", source="…")
    def check(repo: Repo) -> Iterator[Hit]:
        for call in repo.calls("torch.load"):
            yield Hit([call.site()])

The function reads the `Repo` (snapshot and resolvers), never the disk. It yields one `Hit` for each root cause, with
every site where that cause shows. What it cannot decide it leaves out, or says with `confidence=LOW`.
`applies` tells whether the rule has anything to say about this repository: where it is false the rule counts neither
as held nor as failed.

This module stays free of pydantic, so that `ml-engineer rules` starts fast.
"""

from __future__ import annotations

import functools
import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

from ml_engineer import __version__
from ml_engineer.assessment.rules_index import RuleInfo

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

SeverityName = Literal["critical", "high", "medium", "low", "info"]
ConfidenceName = Literal["high", "medium", "low"]

CRITICAL: SeverityName = "critical"
HIGH: SeverityName = "high"
MEDIUM: SeverityName = "medium"
LOW: SeverityName = "low"
INFO: SeverityName = "info"


class Site(NamedTuple):
    """A place in the repository, with the text that stands there. Lines are 1-based, inside `cell` for a notebook."""

    path: str
    line: int
    line_end: int
    quote: str
    cell: int | None = None
    anchor: str = ""  # semantic place (function or key), part of the fingerprint
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Missing:
    """There is no X: the site that needs it, what was looked for, and in which files."""

    need: Site
    patterns: tuple[str, ...]
    files: tuple[str, ...]


@dataclass(slots=True)
class Hit:
    """One root cause found by a rule. Fields left None take the rule's own value."""

    sites: Sequence[Site | Missing]
    severity: SeverityName | None = None
    confidence: ConfidenceName = "high"
    title: str | None = None
    why: str | None = None
    remedy: str | None = None
    anchor: str | None = None  # what identifies this root cause; by default the first site's path, anchor and text


Check = Callable[["Repo"], Iterable[Hit]]


@dataclass(frozen=True, slots=True)
class Rule(RuleInfo):
    """A rule's metadata and its function. `id` is MLE + two digits of the step + two digits of the number, fixed."""

    applies: Callable[[Repo], bool]
    check: Check = field(compare=False)

    @property
    def info(self) -> RuleInfo:
        """The metadata alone, which can be sent between processes."""
        return _info_of(self)


@functools.lru_cache(maxsize=1024)
def _info_of(rule: Rule) -> RuleInfo:
    return RuleInfo(*(getattr(rule, name) for name in RuleInfo.__slots__))


# The peer agents of the specification: nobody else can be asked.
PEERS = frozenset(
    ("data-scientist", "cloud-architect", "devops-engineer", "aiops-specialist", "ai-strategist", "data-engineer")
)
_PACKAGE = "ml_engineer.assessment.rules"
_REGISTRY: dict[str, Rule] = {}


def _always(repo: Repo) -> bool:
    return True


def rule(
    *,
    id: str,
    name: str,
    step: int,
    severity: SeverityName,
    title: str,
    why: str,
    remedy: str,
    source: str,
    part: str = "",
    peers: tuple[str, ...] = (),
    applies: Callable[[Repo], bool] = _always,
) -> Callable[[Check], Check]:
    """Register the decorated function as a rule. A second one of the same key, or an unknown peer, is an error."""
    if not PEERS.issuperset(peers):
        raise ValueError(f"rule {id} names a peer that there is not: {', '.join(set(peers) - PEERS)}")

    def register(check: Check) -> Check:
        found = Rule(id, name, step, severity, title, why, remedy, source, peers, part, applies, check)
        known = _REGISTRY.get(found.key)
        if known is not None and known.check.__module__ != check.__module__:
            raise ValueError(f"rule {found.key} is defined in {known.check.__module__} and in {check.__module__}")
        _REGISTRY[found.key] = found
        return check

    return register


def all_rules() -> list[Rule]:
    """Every rule, by id and part."""
    return rules_of(range(1, 11))


def rules_of(steps: Collection[int]) -> list[Rule]:
    """The rules of these steps, by id and part; no other is imported."""
    for step in steps:
        _register(step)
    return [_REGISTRY[key] for key in sorted(_REGISTRY) if _REGISTRY[key].step in steps]


@functools.cache
def _register(step: int) -> None:
    """Import the rules of a step, which register themselves: once, for a child that reviews one repository pays for
    a look at the folder as for a rule."""
    for name in _modules():
        if name.startswith(f"mle{step:02d}"):
            importlib.import_module(f"{_PACKAGE}.{name}")


@functools.cache
def _modules() -> list[str]:
    package = importlib.import_module(_PACKAGE)
    return [module.name for module in pkgutil.iter_modules(package.__path__)]


def rules_version(rules: Sequence[RuleInfo]) -> str:
    """Digest of the rules' metadata and of the release that has their code: equal where the rules are equal."""
    text = "\n".join(
        f"{__version__}|{r.key}|{r.name}|{r.severity}|{r.title}|{r.why}|{r.remedy}|{r.source}|{r.peers}" for r in rules
    )
    return hashlib.sha256(text.encode()).hexdigest()[:12]
