"""Runs the rules over a repository and turns their hits into ranked findings.

A rule that fails does not take the review down: its failure is an `Outcome` with an error, which makes the coverage
partial and is said in the report.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from ml_engineer.assessment.parallel import beside, shared_out, workers
from ml_engineer.assessment.published import weight
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.rule import Hit, Missing, Rule, Site, all_rules, rules_of
from ml_engineer.assessment.rules_index import RuleInfo
from ml_engineer.report.schema import Absence, Confidence, Evidence, Finding, Place, Quote, Searched, Severity

MAX_SITES = 20
SHARED_FROM_FILES = 3_000
_STRING_OR_COMMENT = re.compile(r"""("(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*')|\#[^\n]*""")
_FORM = re.compile(r"""[\s"'(),]+""")
# From what is served and run to the data, training and the code: steps that look at the same stand together.
STEPS = (5, 7, 8, 9, 10, 6, 2, 4, 1, 3)


@dataclass
class Outcome:
    """How one rule ended on this repository."""

    rule: RuleInfo
    applies: bool
    findings: list[Finding] = field(default_factory=list)
    error: str | None = None


def run_all(repo: Repo) -> list[Outcome]:
    """Run every rule that applies. Order of the outcomes is that of `all_rules`.

    Where there are cores they are shared out to children: what they find is small, what they read is not. In a large
    tree each core has a child; else one child has some of the steps, whose rules are not even imported here.
    """
    if not workers():
        return run_rules(repo, all_rules())
    _ = repo.facts, repo.modules, repo.entries, repo.closure("train"), repo.closure("serve")  # once, for all children
    if len(repo.files) < SHARED_FROM_FILES:
        parts = beside(lambda step: run_rules(repo, rules_of((step,))), STEPS)
    else:
        _ = repo.commands.all, repo.dependencies.declared  # what both would work out, and the conclusion as well
        by_key = {rule.key: rule for rule in all_rules()}
        # The last step looks at every file: it goes first, so that nobody waits for its end.
        parts = [shared_out(lambda key: _run(repo, by_key[key]), sorted(by_key, reverse=True))]
    return sorted((outcome for part in parts for outcome in part), key=lambda outcome: outcome.rule.key)


def run_rules(repo: Repo, rules: Sequence[Rule]) -> list[Outcome]:
    """Run those of the rules that apply, in this process and in the order given."""
    return [_run(repo, rule) for rule in rules]


def _run(repo: Repo, rule: Rule) -> Outcome:
    try:
        if not rule.applies(repo):
            return Outcome(rule.info, applies=False)
        hits = _by_cause(hit for hit in rule.check(repo) if hit.sites)
        return Outcome(rule.info, applies=True, findings=[finding_of(repo, rule, hit) for hit in hits])
    except Exception as error:
        return Outcome(rule.info, applies=True, error=f"{type(error).__name__}: {error}")


def _by_cause(hits: Iterable[Hit]) -> list[Hit]:
    """One hit for one anchor: a repeated one adds its sites to the first, whose words stand."""
    kept: dict[str, Hit] = {}
    for hit in hits:
        known = kept.setdefault(_anchor_of(hit), hit)
        if known is not hit:
            known.sites = [*known.sites, *hit.sites]
    return list(kept.values())


def finding_of(repo: Repo, rule: Rule, hit: Hit) -> Finding:
    """The finding that a hit stands for."""
    sites = list(dict.fromkeys(hit.sites))
    why = hit.why or rule.why
    if len(sites) > MAX_SITES:
        why = f"{why} (seen in {len(sites)} places, the first {MAX_SITES} are shown)"
    return Finding(
        rule=rule.id,
        step=rule.step,
        severity=Severity(weight(repo, rule, hit)),
        confidence=Confidence(hit.confidence),
        title=hit.title or rule.title,
        why=why,
        remedy=hit.remedy or rule.remedy,
        evidence=[evidence_of(repo, site) for site in sites[:MAX_SITES]],
        peers=list(rule.peers),
        source=rule.source,
        fingerprint=fingerprint(rule.key, _anchor_of(hit)),
    )


def evidence_of(repo: Repo, site: Site | Missing) -> Evidence:
    """The report's evidence for a site or for an absence."""
    if isinstance(site, Missing):
        need = site.need
        place = Place(path=need.path, line=need.line, cell=need.cell, quote=need.quote, sha256=_sha256(repo, need.path))
        return Absence(need=place, searched=Searched(patterns=list(site.patterns), files=list(site.files)))
    return Quote(
        path=site.path,
        line_start=site.line,
        line_end=site.line_end,
        quote=site.quote,
        sha256=_sha256(repo, site.path),
        cell=site.cell,
        note=site.note,
    )


def fingerprint(rule: str, anchor: str) -> str:
    """Identity of a finding: the rule and a semantic anchor. Stays when lines move."""
    return hashlib.sha256(f"{rule}\0{anchor}".encode()).hexdigest()[:16]


def _anchor_of(hit: Hit) -> str:
    if hit.anchor:
        return hit.anchor
    site = hit.sites[0]
    if isinstance(site, Missing):
        return f"{site.need.path}\0{site.need.anchor}"
    return f"{site.path}\0{site.anchor}\0{_gist(site.quote)}"


def _gist(code: str) -> str:
    """The code without comments and without what a formatter moves: the same line stays the same finding."""
    plain = _STRING_OR_COMMENT.sub(lambda match: match[1] or "", code)
    return _FORM.sub("", plain) or " ".join(code.split())


def _sha256(repo: Repo, path: str) -> str:
    return repo.files[path].sha256


def rank(repo: Repo, findings: Sequence[Finding]) -> list[Finding]:
    """Worst first; inside a severity what breaks the serving path, then training, then the rest."""
    serving = {module.path for module in repo.closure("serve").modules}
    training = {module.path for module in repo.closure("train").modules}

    def key(finding: Finding) -> tuple[int, int, int, int, str, str]:
        first = finding.evidence[0]
        path = first.path if isinstance(first, Quote) else first.need.path if isinstance(first, Absence) else ""
        role = 0 if path in serving else 1 if path in training else 2
        return finding.severity.rank, finding.confidence.rank, role, finding.step, finding.rule, path

    return sorted(findings, key=key)
