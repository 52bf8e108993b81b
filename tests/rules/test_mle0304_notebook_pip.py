import json

import pytest


def notebook(source):
    cell = {"cell_type": "code", "execution_count": 1, "source": source, "outputs": []}
    return json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}})


@pytest.mark.parametrize(
    "line",
    [
        "!pip install shap", "%pip install -q shap", "!pip3 install --upgrade shap numpy==1.2",
        "!python -m pip install shap", "!pip -q install shap",
        "! pip install shap && echo ok", "!conda install -c conda-forge shap -y", "!pip install shap[plots]",
        "!{sys.executable} -m pip install -qU shap", "!$sys.executable -m pip install shap",
    ],
)  # fmt: skip
def test_an_install_without_a_version(check, line):
    (finding,) = check("MLE0304", {"n.ipynb": notebook(f"import os\n{line}")})
    assert finding.severity.value == "medium"
    assert "shap" in finding.title
    assert finding.evidence[0].line_start == 2


@pytest.mark.parametrize(
    "line",
    [
        "!pip install shap==0.44", "!pip install 'shap>=0.44'", "!pip install -r requirements.txt", "!pip install -e .",
        "!pip install --upgrade pip", "!pip install git+https://github.com/a/b@0123abc", "!pip install ./dist/a.whl",
        "!pip install -r ../requirements.txt", "!pip list", "!echo pip install shap", "%matplotlib inline",
    ],
)  # fmt: skip
def test_pinned_installs_and_requirement_files_are_silent(check, line):
    assert check("MLE0304", {"n.ipynb": notebook(line)}) == []
