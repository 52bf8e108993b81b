"""M7-08, second half: the service emits metrics, and no alert rule looks at them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.metrics import Emitted
    from ml_engineer.assessment.repo import Repo

# Alerts that are defined in other ways than by Prometheus rules.
_OTHERS = re.compile(
    r"aws_cloudwatch_metric_alarm|AWS::CloudWatch::Alarm|google_monitoring_alert_policy|azurerm_monitor_metric_alert|"
    r"datadog_monitor|grafana_rule_group|pagerduty|opsgenie|\"alertRuleTags\"|\"conditions\"[^]]*\"evaluator\"|"
    r"contactPoints:|put_metric_alarm|kind:\s*PrometheusRule",
    re.I,
)


@rule(
    id="MLE0708",
    part="alerts",
    name="no-alerts",
    step=7,
    severity=MEDIUM,
    title="Metrics are emitted and no alert looks at them",
    why="Somebody has to watch a dashboard at the right moment to notice that the model fails or drifts.",
    remedy="Keep alert rules beside the code: errors, latency, no traffic, age and drift of the model.",
    source="ML Test Score, monitoring; Prometheus alerting documentation",
    applies=lambda repo: bool(_emitted(repo)),
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.metrics import alert_rules

    known = _emitted(repo)
    if known is None or alert_rules(repo):
        return
    files = repo.glob("*.yml", "*.yaml", "*.json", "*.tf", "*.rules")
    if any(_OTHERS.search(file.text) for file in files if file.size < 1_000_000):
        return
    patterns = ["alert:", "PrometheusRule", "CloudWatch alarm", "Grafana alert rule"]
    yield Hit([repo.missing(known.sites[0], patterns, files)], anchor="alerts")


def _emitted(repo: Repo) -> Emitted | None:
    from ml_engineer.assessment.metrics import emitted

    if not repo.uses("prometheus_client", "prometheus_fastapi_instrumentator"):
        return None
    found = emitted(repo)
    return found if found is not None and found.sites else None
