import json

import pytest


def test_imports_without_a_file_that_declares_them(check, place):
    (finding,) = check(
        "MLE1001", {"train.py": "import os\nimport torch\n", "pyproject.toml": "[tool.black]\nline-length = 9\n"}
    )
    assert (place(finding), finding.severity) == (("train.py", 2), "high")


@pytest.mark.parametrize(
    "extra",
    [
        {"REQUIREMENTS.txt": "torch\n"},
        {"pyproject.toml": '[project]\nname = "x"\ndependencies = ["torch"]\n'},
        {"environment.yml": "dependencies:\n  - pytorch\n"},
        {"Pipfile": "[packages]\ntorch = '*'\n"},
        {"setup.py": "from setuptools import setup\nsetup(install_requires=['torch'])\n"},
    ],
)
def test_any_file_that_declares(check, extra):
    assert check("MLE1001", {"train.py": "import torch\n", **extra}) == []


def test_only_python_itself_local_modules_and_platforms(check):
    files = {"a.py": "import os, json, helper, dbutils\n", "helper.py": "", "tests/test_a.py": "import numpy\n"}
    assert check("MLE1001", files) == []


@pytest.mark.parametrize(
    ("script", "severity"),
    [("pip install --upgrade keras\npip install imgaug lightgbm\n", "medium"), ("pip install keras\n", "high")],
)
def test_a_script_that_installs_most_of_them_is_medium(check, script, severity):
    files = {"train.py": "import keras, imgaug, lightgbm\n", "setup_env.sh": f"#!/bin/sh\n{script}"}
    assert [f.severity for f in check("MLE1001", files)] == [severity]


def test_notebooks_that_install_most_of_them_are_medium(check):
    cells = ["!pip install keras \\\n  imgaug", "import keras, imgaug, lightgbm"]
    made = [{"cell_type": "code", "execution_count": 1, "source": s, "outputs": []} for s in cells]
    book = json.dumps({"cells": made, "nbformat": 4, "metadata": {}})
    assert [f.severity for f in check("MLE1001", {"a.ipynb": book})] == ["medium"]
    assert [f.severity for f in check("MLE1001", {"a.ipynb": book.replace('imgaug"', 'tqdm"')})] == ["high"]


def test_a_dockerfile_that_installs_most_of_them_is_medium(check):
    files = {"train.py": "import keras, imgaug, lightgbm\n"}
    docker = "FROM python:3.12\nRUN pip install keras==3.0.0 imgaug==0.4.0\n"
    assert [f.severity for f in check("MLE1001", files | {"docker/Dockerfile": docker})] == ["medium"]


def test_an_empty_file_declares_nothing(check):
    assert len(check("MLE1001", {"train.py": "import pandas\n", "requirements.txt": "\n"})) == 1


def test_a_frozen_list_of_another_name_declares(check):
    frozen = "".join(f"package{n}==1.{n}.0\n" for n in range(4))
    assert check("MLE1001", {"train.py": "import pandas\n", "packages.txt": frozen + "pandas==2.2.3\n"}) == []
    assert len(check("MLE1001", {"train.py": "import pandas\n", "packages.txt": "libgomp1\nffmpeg\n"})) == 1
