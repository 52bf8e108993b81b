import pytest


def manifest(api, kind):
    return {"k8s/a.yaml": f"# x\napiVersion: {api}\nkind: {kind}\nmetadata: {{name: a}}\n"}


@pytest.mark.parametrize(
    ("api", "kind", "release"),
    [
        ("extensions/v1beta1", "Deployment", "1.16"),
        ("extensions/v1beta1", "Ingress", "1.22"),
        ("batch/v1beta1", "CronJob", "1.25"),
        ("autoscaling/v2beta2", "HorizontalPodAutoscaler", "1.26"),
    ],
)
def test_a_removed_version_is_reported_at_its_line(check, place, api, kind, release):
    (finding,) = check("MLE0911", manifest(api, kind))
    assert (place(finding), finding.severity.value) == (("k8s/a.yaml", 2), "high")
    assert release in finding.title


@pytest.mark.parametrize(
    ("api", "kind"), [("apps/v1", "Deployment"), ("v1", "Service"), ("serving.kserve.io/v1beta1", "X")]
)
def test_served_versions_are_fine(check, api, kind):
    assert check("MLE0911", manifest(api, kind)) == []


def test_a_chart_has_a_version_of_its_own(check):
    assert check("MLE0911", {"Chart.yaml": "apiVersion: v1\nkind: application\nname: a\n"}) == []
