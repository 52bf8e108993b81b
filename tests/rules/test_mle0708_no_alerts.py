APP = "from prometheus_client import Counter\nREQUESTS = Counter('requests', 'x')\n"


def test_metrics_without_an_alert_are_reported_at_the_metric(check, place):
    (finding,) = check("MLE0708/alerts", {"app.py": APP})
    assert place(finding) == ("app.py", 2)


def test_an_alert_rule_of_any_kind_is_enough(check):
    rule = "groups:\n  - rules:\n      - alert: A\n        expr: up == 0\n"
    assert check("MLE0708/alerts", {"app.py": APP, "alerts.yml": rule}) == []
    assert check("MLE0708/alerts", {"app.py": APP, "m.tf": 'resource "aws_cloudwatch_metric_alarm" "a" {}\n'}) == []


def test_without_metrics_another_rule_speaks(check):
    assert check("MLE0708/alerts", {"app.py": "x = 1\n"}) == []
