import pytest


def test_an_image_and_the_requirements(check, place):
    files = {"requirements.txt": "numpy==1.26.4\n", "Dockerfile": "FROM python:3.11\nRUN pip install numpy==1.24.4\n"}
    (finding,) = check("MLE1013", files)
    assert place(finding) == ("Dockerfile", 2)
    assert (finding.evidence[1].path, finding.severity) == ("requirements.txt", "medium")


@pytest.mark.parametrize(
    "files",
    [
        {
            "requirements.txt": "numpy==1.26.4\n",
            "setup.py": "from setuptools import setup\nsetup(install_requires=['numpy>=1'])\n",
        },
        {"requirements.txt": "torch==1.8.0\n", "environment.yml": "dependencies:\n  - pytorch=1.8\n"},
        {"week_1/requirements.txt": "numpy==1.0\n", "week_2/requirements.txt": "numpy==2.0\n"},
        {"requirements.txt": "numpy==1.0 ; python_version < '3.9'\nnumpy==2.0 ; python_version >= '3.9'\n"},
    ],
)
def test_what_agrees_or_belongs_to_other_projects(check, files):
    assert check("MLE1013", files) == []
