import pytest

TEXT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
%s      containers:
        - name: api
          image: x/y:1
%s"""


def test_no_security_context_is_medium_at_the_container(check, place):
    (finding,) = check("MLE0903", {"d.yaml": TEXT % ("", "")})
    assert (place(finding), finding.severity.value) == (("d.yaml", 8), "medium")


@pytest.mark.parametrize(
    ("pod", "own", "line"),
    [
        ("", "          securityContext: {privileged: true}\n", 10),
        ("      hostNetwork: true\n", "", 7),
        ("      volumes: [{name: s, hostPath: {path: /var/run/docker.sock}}]\n", "", 7),
    ],
)
def test_reaching_the_host_is_high(check, place, pod, own, line):
    (finding,) = check("MLE0903", {"d.yaml": TEXT % (pod, own)})
    assert (place(finding), finding.severity.value) == (("d.yaml", line), "high")


@pytest.mark.parametrize(
    ("pod", "own"),
    [
        ("      securityContext: {runAsNonRoot: true}\n", ""),
        ("      securityContext: {runAsUser: 1000}\n", ""),
        ("", "          securityContext: {allowPrivilegeEscalation: false}\n"),
        ("      securityContext: {runAsUser: 1}\n      volumes: [{hostPath: {path: /etc/ssl/certs/ca.crt}}]\n", ""),
    ],
)
def test_a_restricted_workload_is_fine(check, pod, own):
    assert check("MLE0903", {"d.yaml": TEXT % (pod, own)}) == []


def test_the_docker_socket_in_compose_is_high(check, place):
    text = "services:\n  a:\n    image: x\n    volumes:\n      - /var/run/docker.sock:/var/run/docker.sock\n"
    (finding,) = check("MLE0903", {"docker-compose.yml": text})
    assert place(finding) == ("docker-compose.yml", 5)


@pytest.mark.parametrize(("kind", "level"), [("DaemonSet", "medium"), ("Deployment", "high")])
def test_a_device_plugin_talks_to_the_kubelet_of_its_node(check, kind, level):
    pod = "      volumes: [{name: d, hostPath: {path: /var/lib/kubelet/device-plugins}}]\n"
    (finding,) = check("MLE0903", {"d.yaml": (TEXT % (pod, "")).replace("Deployment", kind)})
    assert finding.severity.value == level
