"""M8-07, third part: text that a stranger writes becomes part of a CI script."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import HIGH, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo
    from ml_engineer.assessment.workflows import Step

_OUTSIDE = re.compile(
    r"\$\{\{[^}]*\bgithub\.(event\.(issue\.(title|body)|pull_request\.(title|body|head\.(ref|label|repo\.default_branch))|"
    r"comment\.body|review\.body|review_comment\.body|discussion\.(title|body)|pages[\w.\[\]*]*page_name|"
    r"head_commit\.(message|author\.(email|name))|commits[\w.\[\]*]*(message|author\.(email|name))|"
    r"workflow_run\.head_(branch|commit\.message))|head_ref)\b"
)


@rule(
    id="MLE0807",
    part="injection",
    name="ci-injection",
    step=8,
    severity=HIGH,
    title="Text from outside is pasted into a CI script",
    why="It is put in before the shell reads it: a crafted title or branch name runs commands with the secrets.",
    remedy="Hand the value over through `env:` and use it as a quoted shell variable.",
    source="zizmor template-injection; GitHub security hardening guide",
    applies=lambda repo: any(workflow.system == "github" for workflow in repo.workflows),
)
def check(repo: Repo) -> Iterator[Hit]:
    sites = [site for w in repo.workflows if w.system == "github" for step in w.steps for site in _sites(step)]
    if sites:
        yield Hit(list(dict.fromkeys(sites)), anchor="injection")


def _sites(step: Step) -> Iterator[Site]:
    lines = list(step.lines)
    script = step.inputs.get("script") if (step.uses or "").startswith("actions/github-script") else None
    if script is not None:
        lines.extend(script.lines())
    for number, text in lines:
        if _OUTSIDE.search(text):
            yield step.file.site(number)
