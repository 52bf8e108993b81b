"""`ml-engineer rules [ID]`: the catalogue, from the rules' own metadata."""

from __future__ import annotations

import json
import re
from typing import Any

import click

from ml_engineer.assessment.rules_index import RuleInfo, load

STEPS = (
    "Model Assessment", "Architecture Design", "Code Refactoring", "Training Pipeline", "Model Deployment",
    "Performance Optimization", "Monitoring Implementation", "CI/CD Integration", "Infrastructure Management",
    "Version Control",
)  # fmt: skip


@click.command()
@click.argument("rule_id", metavar="[ID]", required=False)
@click.option("--markdown", is_flag=True, help="As a Markdown document (docs/rules.md).")
@click.option("--json", "as_json", is_flag=True, help="As JSON (docs/schema/rules.json).")
def rules(rule_id: str | None, markdown: bool, as_json: bool) -> None:
    """List the rules, or explain the rule ID (for example MLE0501)."""
    if as_json:
        found = load() if rule_id is None else find(rule_id)
        click.echo(json.dumps({"rules": [record(rule) for rule in found]}, indent=1, ensure_ascii=False))
    elif rule_id is not None:
        click.echo("\n".join(explain(rule) for rule in find(rule_id)), nl=False)
    elif markdown:
        click.echo(document(load()), nl=False)
    else:
        for rule in load():
            click.echo(f"{rule.key:30}  {rule.severity:8}  {rule.name:28}  {rule.title}")


def find(rule_id: str) -> list[RuleInfo]:
    """The rules of this id, key or name. Raises UsageError with those near it."""
    found = load()
    wanted = rule_id.upper()
    rules = [rule for rule in found if wanted in (rule.id, rule.key.upper(), rule.name.upper())]
    if rules:
        return rules
    raise click.UsageError(f"there is no rule {rule_id}{_near(found, wanted)}; `ml-engineer rules` lists all")


def _near(found: list[RuleInfo], wanted: str) -> str:
    """Rules that may have been meant: spelled alike, or with the words in their name or title."""
    import difflib

    spelled = difflib.get_close_matches(
        wanted, [text for rule in found for text in (rule.key, rule.name.upper())], n=4, cutoff=0.85
    )
    words = re.findall(r"[A-Z]{3,}", wanted)
    told = [rule for rule in found if words and all(word in f"{rule.name} {rule.title}".upper() for word in words)]
    near = [rule for rule in found if rule in told or rule.key in spelled or rule.name.upper() in spelled]
    return "; near it: " + ", ".join(f"{rule.key} {rule.name}" for rule in near[:4]) if near else ""


def record(rule: RuleInfo) -> dict[str, Any]:
    """One rule for other programs."""
    return {
        "id": rule.key,
        "name": rule.name,
        "step": rule.step,
        "step_name": STEPS[rule.step - 1],
        "severity": rule.severity,
        "title": rule.title,
        "why": rule.why,
        "remedy": rule.remedy,
        "rests_on": rule.source,
        "peers": list(rule.peers),
    }


def explain(rule: RuleInfo) -> str:
    """One rule, as text."""
    peers = f"\nAsk:      {', '.join(rule.peers)}" if rule.peers else ""
    return (
        f"{rule.key} {rule.name}\n\n{rule.title}\n\n"
        f"Step:     {rule.step} {STEPS[rule.step - 1]}\nSeverity: {rule.severity}\n"
        f"Why:      {rule.why}\nRemedy:   {rule.remedy}\nRests on: {rule.source}{peers}\n"
    )


def document(found: list[RuleInfo]) -> str:
    """The whole catalogue as Markdown. `docs/rules.md` is this text, and a test keeps it so."""
    lines = [
        "# Rules",
        "",
        f"{len(found)} rules in ten steps.",
        "Made from the rules' metadata by `ml-engineer rules --markdown`; do not edit.",
        "The severity is the usual one: a finding may carry another where the rule says so.",
    ]
    for step, name in enumerate(STEPS, 1):
        lines += ["", f"## Step {step}: {name}", ""]
        for rule in found:
            if rule.step == step:
                peers = f" Ask: {', '.join(rule.peers)}." if rule.peers else ""
                lines += [
                    f"### {rule.key} {rule.name}",
                    "",
                    f"**{rule.title}** ({rule.severity})",
                    "",
                    f"{rule.why} {rule.remedy} Rests on: {rule.source}.{peers}",
                    "",
                ]
    return "\n".join(lines).rstrip() + "\n"
