import pytest

TEXT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers:
        - name: api
          image: x/y:1
          ports: [{containerPort: 8000}]
%s"""
FULL = "          resources: {requests: {cpu: 1, memory: 1Gi}, limits: {memory: 2Gi}}\n"


def test_a_container_without_resources_is_reported_at_its_name(check, place):
    (finding,) = check("MLE0901", {"k8s/d.yaml": TEXT % ""})
    assert (place(finding), finding.severity.value) == (("k8s/d.yaml", 8), "medium")


def test_requests_without_a_memory_limit_are_low(check):
    (finding,) = check("MLE0901", {"d.yaml": TEXT % "          resources: {requests: {cpu: 1}}\n"})
    assert finding.severity.value == "low"


@pytest.mark.parametrize("resources", [FULL, "          resources: {limits: {memory: 2Gi, nvidia.com/gpu: 1}}\n"])
def test_limits_are_enough(check, resources):
    assert check("MLE0901", {"d.yaml": TEXT % resources}) == []


def test_a_patch_or_a_limit_range_may_bring_them(check):
    patch = (TEXT % FULL).replace("          image: x/y:1\n", "")
    assert check("MLE0901", {"base/d.yaml": TEXT % "", "overlays/p.yaml": patch}) == []
    limits = "apiVersion: v1\nkind: LimitRange\nmetadata: {name: l}\n"
    assert check("MLE0901", {"base/d.yaml": TEXT % "", "l.yaml": limits}) == []


def test_what_a_chart_does_not_say_is_unknown(check):
    files = {
        "c/Chart.yaml": "apiVersion: v2\nname: c\n",
        "c/values.yaml": "a: 1\n",
        "c/templates/d.yaml": TEXT % "          resources:\n            {{- toYaml .Values.resources | nindent 12 }}\n",
    }
    assert check("MLE0901", files) == []


def test_a_container_without_a_name_and_a_runtime_that_its_users_complete(check):
    head = "apiVersion: {version}\nkind: {kind}\nmetadata: {{name: m}}\nspec: {spec}\n"
    container = "{containers: [{image: acme/server:1}]}"
    knative = head.format(
        version="serving.knative.dev/v1", kind="Service", spec="{template: {spec: " + container + "}}"
    )
    (finding,) = check("MLE0901", {"m.yaml": knative})
    assert finding.title == "Service m: no resource requests or limits for its container"
    runtime = head.format(version="serving.kserve.io/v1alpha1", kind="ServingRuntime", spec=container)
    assert check("MLE0901", {"m.yaml": runtime}) == []


@pytest.mark.parametrize(
    "listed", ["patches: [two.yaml]", "patches: [{path: two.yaml}]", "patchesStrategicMerge: [two.yaml]"]
)
@pytest.mark.parametrize("rule", ["MLE0901", "MLE0902", "MLE0903"])
def test_what_a_patch_lacks_is_judged_at_its_base(check, place, rule, listed):
    patch = (TEXT % "").replace("x/y:1", "x/y:2")
    files = {"base/d.yaml": TEXT % "", "prod/two.yaml": patch, "prod/kustomization.yaml": f"{listed}\n"}
    (finding,) = check(rule, files)
    assert place(finding)[0] == "base/d.yaml"


def test_another_image_in_a_patch_is_judged_there(check, place):
    patch = (TEXT % FULL).replace("x/y:1", "x/y:latest")
    files = {"base/d.yaml": TEXT % FULL, "prod/p.yaml": patch, "prod/kustomization.yaml": "patches: [p.yaml]\n"}
    findings = check("MLE0904", files)
    assert [place(f)[0] for f in findings if "latest" in f.title] == ["prod/p.yaml"]
