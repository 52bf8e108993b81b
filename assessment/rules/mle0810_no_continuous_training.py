"""M8-10: a model is served, and nothing trains it again on a schedule or an event."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import holds
from ml_engineer.assessment.rule import LOW, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_SCHEDULING_PACKAGES = ("schedule", "apscheduler", "celery", "rq_scheduler", "croniter")
_SCHEDULED = re.compile(
    r"\bschedule(_interval)?\s*=|\bcron\w*\s*[:=(]|\btimetable\s*=|IntervalSchedule|CronSchedule|create_recurring_run|"
    r"EventBridge|aws_cloudwatch_event_rule|google_cloud_scheduler_job|schedule_expression|rate\(\d+\s|ScheduledJob|"
    r"kind:\s*(CronJob|CronWorkflow|ScheduledSparkApplication)|\bon_schedule\b|crontab",
    re.I,
)
# Of these words one stands in every match.
_WORDS = ("schedul", "cron", "timetable", "create_recurring_run", "eventbridge", "aws_cloudwatch_event_rule", "rate(")
_WHERE = ("*.yaml", "*.yml", "*.tf", "*.toml", "crontab*", "*.cron", "Makefile", "*.sh", "*.json")


@rule(
    id="MLE0810",
    name="no-continuous-training",
    step=8,
    severity=LOW,
    title="The served model is trained by hand only",
    why="Data moves on and the model stays: a new one depends on somebody remembering and doing it right.",
    remedy="Start the training pipeline by a schedule or an event, with the check that lets only a better model out.",
    source="Google MLOps level 1; ML Test Score, monitoring 4",
    applies=lambda repo: bool(_trained(repo)) and any(e.kind == "serve" for e in repo.entries),
)
def check(repo: Repo) -> Iterator[Hit]:
    if any("schedule" in workflow.triggers for workflow in repo.workflows) or repo.uses(*_SCHEDULING_PACKAGES):
        return
    listed = [*repo.glob(*_WHERE), *(module.file for module in repo.modules)]
    files = [f for f in listed if not f.roles & {"test", "docs"} and f.size < 300_000]
    if any(holds(file.text, _WORDS) and _SCHEDULED.search(file.text) for file in files):
        return
    patterns = ["cron", "schedule", "CronJob", "DAG schedule", "workflow on schedule"]
    yield Hit([repo.missing(_trained(repo)[0], patterns, files)], anchor="schedule")


def _trained(repo: Repo) -> list[Site]:
    return [e.site for e in repo.entries if e.kind == "train" and not e.module.is_notebook]
