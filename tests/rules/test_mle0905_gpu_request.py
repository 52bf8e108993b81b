import pytest

APP = {"app.py": "import torch\nmodel = torch.nn.Linear(1, 1).cuda()\n"}
CUDA = {"Dockerfile": "FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04\nRUN pip install torch\n"}
TEXT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers:
        - name: api
          image: me/api:1
          resources: {limits: {memory: 1Gi%s}}
"""


def test_a_cuda_image_without_a_gpu(check, place):
    (finding,) = check("MLE0905", {**APP, **CUDA, "d.yaml": TEXT % ""})
    assert place(finding) == ("d.yaml", 8)
    assert [e.path for e in finding.evidence] == ["d.yaml", "Dockerfile"]


def test_a_compose_service_without_a_gpu(check, place):
    (finding,) = check("MLE0905", {**APP, **CUDA, "docker-compose.yml": "services:\n  api:\n    build: .\n"})
    assert place(finding) == ("docker-compose.yml", 2)


def test_a_gpu_for_a_cpu_image(check, place):
    docker = "FROM python:3.12\nRUN pip install torch --index-url https://example.org/whl/cpu\n"
    (finding,) = check("MLE0905", {**APP, "Dockerfile": docker, "d.yaml": TEXT % ", nvidia.com/gpu: 1"})
    assert place(finding) == ("d.yaml", 10)


@pytest.mark.parametrize(
    "files",
    [
        {**CUDA, "d.yaml": TEXT % ", nvidia.com/gpu: 1"},
        {"Dockerfile": "FROM python:3.12\n", "d.yaml": TEXT % ""},
        {**CUDA},
        {**CUDA, "docker-compose.yml": "services:\n  api:\n    build: .\n    runtime: nvidia\n"},
    ],
)
def test_images_and_workloads_that_agree(check, files):
    assert check("MLE0905", {**APP, **files}) == []
