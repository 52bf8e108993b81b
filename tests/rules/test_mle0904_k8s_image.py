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
          image: %s
"""


@pytest.mark.parametrize("image", ["me/api:latest", "me/api", "localhost:5000/api"])
def test_latest_or_no_tag_is_medium(check, place, image):
    (finding,) = check("MLE0904", {"k8s/d.yaml": TEXT % image})
    assert (place(finding), finding.severity.value) == (("k8s/d.yaml", 9), "medium")


def test_a_tag_without_digest_is_low_once(check):
    (finding,) = check("MLE0904", {"a.yaml": TEXT % "me/api:1", "b.yaml": TEXT % "me/b:2"})
    assert (finding.severity.value, len(finding.evidence)) == ("low", 2)


@pytest.mark.parametrize("image", ["me/api@sha256:ab", "$IMAGE", "me/api:__TAG__", "<image>", "me/api:${TAG}"])
def test_digests_and_placeholders_are_left_alone(check, image):
    assert check("MLE0904", {"d.yaml": TEXT % f"'{image}'"}) == []


def test_a_chart_is_followed_into_its_values(check, place):
    files = {
        "c/Chart.yaml": "apiVersion: v2\nname: c\n",
        "c/values.yaml": "image:\n  name: me/api\n  tag: latest\n",
        "c/templates/d.yaml": TEXT % '"{{ .Values.image.name }}:{{ .Values.image.tag }}"',
    }
    (finding,) = check("MLE0904", files)
    assert place(finding) == ("c/values.yaml", 3)


def test_a_kustomization_sets_the_tag(check):
    files = {"d.yaml": TEXT % "me/api", "kustomization.yaml": "images:\n  - name: me/api\n    newTag: v1\n"}
    assert check("MLE0904", files) == []
