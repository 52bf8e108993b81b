TEXT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  replicas: %s
  template:
    spec:
      containers:
        - {name: api, image: "me/churn:1", ports: [{containerPort: 80}]}
"""


def test_one_replica_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0907", {"k8s/d.yaml": TEXT % 1})
    assert (place(finding), finding.severity.value) == (("k8s/d.yaml", 5), "low")


def test_recreate_is_reported_too(check, place):
    (finding,) = check("MLE0907", {"d.yaml": TEXT % "2\n  strategy: {type: Recreate}"})
    assert place(finding) == ("d.yaml", 6)


def test_more_replicas_an_autoscaler_or_a_development_overlay(check):
    assert check("MLE0907", {"d.yaml": TEXT % 2}) == []
    scaler = "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nspec: {scaleTargetRef: {name: api}}\n"
    assert check("MLE0907", {"d.yaml": TEXT % 1, "h.yaml": scaler}) == []
    (finding,) = check("MLE0907", {"overlays/dev/d.yaml": TEXT % 1, "d.yaml": TEXT % 1, "h.yaml": "a: 1\n"})
    assert finding.evidence[0].path == "d.yaml"
