TEXT = """\
apiVersion: apps/v1
kind: %s
metadata: {name: api}
spec:
  template:
    spec:
      containers:
        - name: api
          image: %s
          ports: [{containerPort: 8000}]
          livenessProbe: {httpGet: {path: /health, port: 8000}}
"""


def test_a_service_with_a_liveness_probe_only(check, place):
    (finding,) = check("MLE0902", {"d.yaml": TEXT % ("Deployment", "me/churn:1")})
    assert place(finding) == ("d.yaml", 8)
    assert "only a liveness probe" in finding.title


def test_a_readiness_probe_is_enough(check):
    text = TEXT % ("Deployment", "me/churn:1") + "          readinessProbe: {tcpSocket: {port: 8000}}\n"
    assert check("MLE0902", {"d.yaml": text}) == []


def test_jobs_and_known_servers_are_no_subject(check):
    assert check("MLE0902", {"d.yaml": TEXT % ("Job", "me/churn:1")}) == []
    assert check("MLE0902", {"d.yaml": TEXT % ("Deployment", "postgres:16")}) == []
