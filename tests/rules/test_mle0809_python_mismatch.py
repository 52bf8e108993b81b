CI = """\
on: push
jobs:
  a:
    steps:
      - uses: actions/setup-python@v5
        with:
          python-version: %s
"""
WHERE = ".github/workflows/ci.yml"


def test_an_image_with_another_python_than_ci(check, place):
    (finding,) = check("MLE0809", {"Dockerfile": "FROM python:3.8-slim\n", WHERE: CI % "'3.10'"})
    assert place(finding) == (WHERE, 7)
    assert [e.path for e in finding.evidence] == [WHERE, "Dockerfile"]


def test_an_image_that_requires_python_does_not_allow(check):
    files = {"Dockerfile": "FROM python:3.8\n", "pyproject.toml": '[project]\nname = "a"\nrequires-python = ">=3.10"\n'}
    (finding,) = check("MLE0809", files)
    assert "3.8" in finding.title


def test_a_matrix_that_holds_the_version_of_the_image_agrees(check):
    matrix = """\
        on: push
        jobs:
          a:
            strategy:
              matrix:
                python-version: ["3.9", "3.10"]
            steps:
              - uses: actions/setup-python@v5
                with:
                  python-version: ${{ matrix.python-version }}
        """
    files = {
        "Dockerfile": "FROM python:3.10.4\n",
        WHERE: matrix,
        "pyproject.toml": '[project]\nrequires-python = ">=3.8"\n',
    }
    assert check("MLE0809", files) == []


def test_a_folder_of_its_own_is_another_program(check):
    assert check("MLE0809", {"tools/Dockerfile": "FROM python:3.8\n", WHERE: CI % "'3.12'"}) == []


def test_a_python_that_the_image_installs(check, place):
    files = {
        ".github/workflows/ci.yml": "jobs:\n  a:\n    steps:\n      - with:\n          python-version: '3.8'\n",
        "Dockerfile": "FROM ubuntu:22.04\nRUN apt-get install -y git \\\n python3.10\n",
    }
    files["Dockerfile"] = "FROM ubuntu:22.04\nRUN apt-get install -y git python3.10\n"
    (finding,) = check("MLE0809", files)
    assert "3.10" in finding.title
