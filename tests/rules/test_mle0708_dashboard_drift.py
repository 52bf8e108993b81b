import json

import pytest

from ml_engineer.assessment.metrics import names_in

APP = """\
import os
from prometheus_client import Counter, Histogram
SPACE = os.environ.get("SPACE", "churn")
LATENCY = Histogram("latency_seconds", "x", namespace=SPACE)
def make(name="errors"):
    return Counter(name, "x", namespace=SPACE)
ERRORS = make()
"""
RULE = "groups:\n  - name: a\n    rules:\n      - alert: Slow\n        expr: %s\n"


def test_an_alert_on_an_unknown_metric(check, place):
    text = RULE % "rate(churn_prediction_latency_seconds_bucket[5m]) > 1"
    (finding,) = check("MLE0708", {"app.py": APP, "alerts.yml": text})
    assert place(finding) == ("alerts.yml", 5)
    assert "churn_prediction_latency_seconds_bucket" in finding.title


@pytest.mark.parametrize(
    "expression",
    [
        "histogram_quantile(0.95, sum by (le) (rate(churn_latency_seconds_bucket[5m]))) > 0.1",
        "increase(churn_errors_total{handler='/x'}[5m]) / on(pod) group_left kube_pod_info > 0",
        "up == 0",
        "process_resident_memory_bytes > 1e9",
    ],
)
def test_metrics_of_the_code_the_client_and_the_cluster(check, expression):
    assert check("MLE0708", {"app.py": APP, "alerts.yml": RULE % f'"{expression}"'}) == []


def test_a_manifest_changes_the_name(check):
    manifest = """\
        apiVersion: v1
        kind: Pod
        metadata: {name: a}
        spec:
          containers:
            - {name: a, image: x, env: [{name: SPACE, value: shop}]}
        """
    files = {"app.py": APP, "pod.yaml": manifest, "alerts.yml": RULE % "shop_latency_seconds_count > 1"}
    assert check("MLE0708", files) == []


def test_a_dashboard_is_reported_at_the_expression(check, place):
    board = json.dumps({"panels": [{"targets": [{"expr": "rate(churn_requests_total[5m])"}]}]}, indent=1)
    (finding,) = check("MLE0708", {"app.py": APP, "board.json": board})
    assert place(finding) == ("board.json", 6)


def test_a_name_that_cannot_be_known_silences_the_rule(check):
    app = "import sys\nfrom prometheus_client import Counter\nC = Counter(sys.argv[1], 'x')\n"
    assert check("MLE0708", {"app.py": app, "alerts.yml": RULE % "other_total > 1"}) == []


def test_a_recording_rule_answers_its_own_name(check):
    recorded = "groups:\n  - rules:\n      - record: p95\n        expr: churn_latency_seconds_sum\n"
    rules = recorded + "      - alert: A\n        expr: p95 > 1\n"
    assert check("MLE0708", {"app.py": APP, "r.yml": rules}) == []


def test_names_of_an_expression():
    text = 'sum(rate(a_total{x="b_total"}[5m])) by (c) / ignoring(d) group_left e:f:g offset 5m and $v > bool 3'
    assert names_in(text) == {"a_total", "e:f:g"}


def test_a_name_that_stands_in_the_code_is_not_reported(check):
    app = APP + "prom = load()\nC = prom.Counter('served_total', 'x')\n"
    assert check("MLE0708", {"app.py": app, "alerts.yml": RULE % "rate(served_total[5m]) > 1"}) == []
