import pytest

LOADER = "from torch.utils.data import DataLoader\nloader = DataLoader(d, num_workers=4)\n"
FILES = {"train.py": LOADER, "Dockerfile": "FROM python:3.12\n"}
COMPOSE = "services:\n  train:\n    build: .\n%s"


def test_workers_without_shared_memory(check, place):
    (finding,) = check("MLE0910", {**FILES, "docker-compose.yml": COMPOSE % ""})
    assert (place(finding), finding.severity.value) == (("train.py", 2), "low")


@pytest.mark.parametrize(
    "files",
    [
        {**FILES, "docker-compose.yml": COMPOSE % "    shm_size: 2gb\n"},
        {**FILES, "docker-compose.yml": COMPOSE % "    ipc: host\n"},
        {**FILES, "train.py": LOADER.replace("4", "0"), "docker-compose.yml": COMPOSE % ""},
        FILES,
    ],
)
def test_shared_memory_no_workers_or_no_container(check, files):
    assert check("MLE0910", files) == []
