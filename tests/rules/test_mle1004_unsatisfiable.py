import pytest

IMAGE = "FROM python:{}-slim\nCOPY . .\nRUN pip install -r requirements.txt\n"


@pytest.mark.parametrize(
    ("pin", "python"),
    [
        ("pandas==2.1.4", "3.8"),
        ("tensorflow==1.15.0", "3.8"),
        ("torch==1.8.0", "3.11"),
        ("flask==3.1.0", "3.8"),
        ("fastapi==0.109.1", "3.7"),
        ("pandas>=2.1", "3.8"),
    ],
)
def test_a_pin_and_the_python_of_the_image(check, place, pin, python):
    (finding,) = check("MLE1004", {"requirements.txt": f"six\n{pin}\n", "Dockerfile": IMAGE.format(python)})
    assert (place(finding), finding.severity) == (("requirements.txt", 2), "high")
    assert finding.evidence[1].path == "Dockerfile"


@pytest.mark.parametrize(
    ("pin", "python"),
    [
        ("pandas==2.1.4", "3.9"),
        ("torch==1.13.1", "3.10"),
        ("pandas>=1.0", "3.8"),
        ("pandas>=1.0", "3.13"),
        ("unknown==1.0", "3.4"),
        ("flask==2.2.0", "3.12"),
    ],
)
def test_what_goes_together_or_is_not_known(check, pin, python):
    assert check("MLE1004", {"requirements.txt": f"{pin}\n", "Dockerfile": IMAGE.format(python)}) == []


def test_an_image_that_installs_something_else(check):
    docker = "FROM python:3.8\nRUN pip install -r other.txt\n"
    assert check("MLE1004", {"requirements.txt": "pandas==2.1.4\n", "Dockerfile": docker, "other.txt": "six\n"}) == []


def test_ci_fails_only_where_every_version_does(check):
    job = (
        "jobs:\n  t:\n    steps:\n      - with:\n          python-version: {}\n"
        "      - run: pip install -r requirements.txt\n"
    )
    files = {"requirements.txt": "pandas==2.1.4\n", ".github/workflows/ci.yml": job.format("['3.8', '3.11']")}
    assert check("MLE1004", files) == []
    files[".github/workflows/ci.yml"] = job.format("'3.7'")
    assert len(check("MLE1004", files)) == 1


@pytest.mark.parametrize(
    "lines",
    [
        "torch==1.13.1\ntorchvision==0.9.0\n",
        "tensorflow==2.5.0\nnumpy==1.23.0\n",
        "flask==3.0.0\nwerkzeug==2.0.0\n",
        "fastapi==0.109.1\npydantic==1.6.2\n",
        "sklearn\n",
    ],
)
def test_pins_that_exclude_each_other(check, lines):
    (finding,) = check("MLE1004", {"requirements.txt": lines})
    assert finding.severity == "high"


@pytest.mark.parametrize(
    "lines",
    ["torch==1.8.0\ntorchvision==0.9.0\n", "tensorflow==2.5.0\nnumpy~=1.19.2\n", "torch>=1\ntorchvision==0.9.0\n"],
)
def test_pins_that_agree(check, lines):
    assert check("MLE1004", {"requirements.txt": lines}) == []


def test_the_one_release_of_sklearn_that_installs(check):
    assert check("MLE1004", {"requirements.txt": "sklearn==0.0\n"}) == []


def test_kserve_bounds_the_server_below_it(check):
    files = {"a.py": "import kserve\n", "requirements.txt": "kserve==0.13.0\nfastapi==0.116.0\nnumpy==2.1.3\n"}
    (finding,) = check("MLE1004", files)
    assert finding.title == "kserve 0.13.0 requires numpy <2, ==2.1.3 is declared, and 1 more"
    assert [evidence.line_start for evidence in finding.evidence] == [3, 2, 1]
    assert check("MLE1004", {**files, "requirements.txt": "kserve==0.13.0\nfastapi==0.109.2\nnumpy==1.26.4\n"}) == []


def test_a_lock_may_have_a_version_for_each_python(check):
    entry = '[[package]]\nname = "scipy"\nversion = "%s"\n\n'
    files = {
        "pyproject.toml": "[tool.poetry]\nname = 'x'\n",
        "Dockerfile": "FROM python:3.10-slim\nCOPY . .\nRUN pip install poetry && poetry install\n",
        "poetry.lock": entry % "1.16.0",
    }
    assert len(check("MLE1004", files)) == 1
    assert check("MLE1004", {**files, "poetry.lock": entry % "1.15.3" + entry % "1.16.0"}) == []


def test_a_release_of_opencv_has_four_numbers(check, place):
    (finding,) = check("MLE1004", {"requirements.txt": "six\nopencv-python==4.5.3\n"})
    assert place(finding) == ("requirements.txt", 2)
    assert check("MLE1004", {"requirements.txt": "six\nopencv-python==4.5.3.*\n"}) == []


def test_conda_knows_no_sklearn_either(check):
    environment = "dependencies:\n  - python=3.8\n  - opencv\n  - pip:\n    - sklearn\n"
    (finding,) = check("MLE1004", {"conda.yaml": environment})
    assert finding.evidence[0].line_start == 5


def test_a_list_of_conda_names_its_packages(check):
    listed = (
        "# $ conda create --name <env> --file <this file>\nopencv=3.4.2=py37h6fd60c2_1\nnumpy=1.18.1=py37h4f9e942_0\n"
    )
    assert check("MLE1004", {"requirements.txt": listed, "a.py": "import cv2\n"}) == []


def test_a_star_after_a_bound_is_refused_by_pip(check, place):
    (finding,) = check("MLE1004", {"requirements.txt": "six\ntensorflow>=2.5.0*\n"})
    assert place(finding) == ("requirements.txt", 2)
    assert check("MLE1004", {"requirements.txt": "six\ntensorflow==2.5.*\n"}) == []


def test_requirements_that_setup_reads(check):
    files = {
        "requirements.txt": "numpy>=1.24.4\n",
        "setup.py": "from setuptools import setup\nsetup(install_requires=open('requirements.txt').readlines())\n",
        "Dockerfile": "FROM python:3.7\nCOPY . .\nRUN pip install .\n",
    }
    (finding,) = check("MLE1004", files)
    assert "numpy >=1.24.4 needs Python 3.8" in finding.title
    assert check("MLE1004", {**files, "Dockerfile": files["Dockerfile"].replace("3.7", "3.8")}) == []


def test_names_that_only_conda_knows(check, place):
    (finding,) = check("MLE1004", {"requirements.txt": "six\npython==3.6.12\npytorch==1.3.1\n"})
    assert (place(finding), len(finding.evidence)) == (("requirements.txt", 2), 2)


def test_a_file_that_conda_reads_may_name_its_packages(check):
    readme = "    conda install -c pytorch --file requirements.txt\n"
    assert check("MLE1004", {"requirements.txt": "pytorch==1.3.1\n", "README.md": readme}) == []
    assert check("MLE1004", {"environment.yml": "dependencies:\n  - python=3.8\n  - pytorch=1.3\n"}) == []
    project = '[tool.poetry]\nname = "x"\n[tool.poetry.dependencies]\npython = "^3.9"\n'
    assert check("MLE1004", {"pyproject.toml": project}) == []
