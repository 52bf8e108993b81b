import json

import pytest

FILES = {
    "requirements.txt": "pandas==2.0\n",
    "train.py": "import pandas\nimport seaborn\nfrom imblearn import over_sampling\n",
}


def test_imports_that_nothing_declares(check, place):
    found = check("MLE1005", FILES)
    assert sorted((place(f), f.severity.value, f.title.split()[0]) for f in found) == [
        (("train.py", 2), "high", "seaborn"),
        (("train.py", 3), "high", "imbalanced-learn"),
    ]


def test_what_a_declared_package_brings_is_low(check):
    (finding,) = check("MLE1005", {"requirements.txt": "pandas\n", "a.py": "import pandas\nimport numpy\n"})
    assert finding.severity == "low"


@pytest.mark.parametrize(
    "code",
    [
        "import pandas, cv2\n",
        "import pandas\ntry:\n    import ujson\nexcept ImportError:\n    ujson = None\n",
        "import pandas\nfrom helper.inner import x\n",
        "import pandas, dbutils\n",
        "import pandas\nfrom google.colab import drive\n",
    ],
)
def test_declared_guarded_local_and_given(check, code):
    files = {
        "requirements.txt": "pandas\nopencv-python-headless\n",
        "a.py": code,
        "b.py": "import cv2\n",
        "helper/inner.py": "x = 1\n",
    }
    assert check("MLE1005", files) == []


def test_a_notebook_alone_is_medium_and_may_install_by_itself(check):
    def notebook(*lines):
        cells = ", ".join(f'{{"cell_type": "code", "source": ["{line}"], "outputs": []}}' for line in lines)
        return f'{{"cells": [{cells}], "nbformat": 4, "metadata": {{}}}}'

    files = {"requirements.txt": "pandas\n", "a.py": "import pandas\n", "n.ipynb": notebook("import plotly")}
    (finding,) = check("MLE1005", files)
    assert finding.severity == "medium"
    assert check("MLE1005", {"n.ipynb": notebook("!pip install plotly", "import plotly")}) == []


def test_a_common_package_may_come_with_one_that_is_not_known(check):
    (finding,) = check(
        "MLE1005", {"requirements.txt": "obscure-thing\n", "a.py": "import obscure_thing\nimport requests\n"}
    )
    assert finding.severity == "medium"


def test_declared_and_not_used(check, place):
    files = {
        "requirements.txt": "pandas\nxgboost\ngunicorn\nlocust\n",
        "a.py": "import pandas\n",
        "load.sh": "locust -f x\n",
    }
    (finding,) = check("MLE1005", files)
    assert (place(finding), finding.severity) == (("requirements.txt", 2), "low")


def test_without_a_file_another_rule_speaks(check):
    assert check("MLE1005", {"a.py": "import pandas\n"}) == []


def test_a_repository_may_hold_more_packages_than_its_name_says(check):
    files = {
        "requirements.txt": "git+https://github.com/me/model-base-improved#egg=iris_model\n",
        "task.py": "from model_base import Model\nimport other_thing\n",
    }
    assert [f.title.split()[0] for f in check("MLE1005", files)] == ["other-thing"]


def test_a_wrong_name_on_the_index_is_not_reported_here_too(check):
    files = {"requirements.txt": "sklearn\n", "train.py": "import sklearn\nimport joblib\n"}
    (finding,) = check("MLE1005", files)
    assert (finding.title.split()[0], finding.severity.value) == ("joblib", "low")


def test_an_image_of_airflow_brings_airflow(check):
    files = {"dags/d.py": "from airflow import DAG\nimport yaml\n", "requirements.txt": "pyyaml\n"}
    assert len(check("MLE1005", files)) == 1
    assert check("MLE1005", {**files, "Dockerfile": "FROM apache/airflow:2.9.1\n"}) == []


def test_a_versioned_module_of_a_cloud_library(check):
    code = "from google.cloud.aiplatform_v1 import ModelServiceClient\nimport yaml\n"
    assert check("MLE1005", {"a.py": code, "requirements.txt": "google-cloud-aiplatform\npyyaml\n"}) == []


@pytest.mark.parametrize(
    ("declared", "code", "severity"),
    [
        ("split-folders==0.5\n", "import splitfolders\n", None),  # the same word with a hyphen
        ("cloudpathlib[s3]\n", "import cloudpathlib, boto3\nfrom botocore import UNSIGNED\n", "low"),
        ("cloudpathlib\n", "import cloudpathlib, boto3\n", "high"),
        ("scikit-image==0.14.2\n", "import skimage\nfrom matplotlib import pyplot\n", "low"),
        ("scikit-image==0.22\n", "import skimage\nfrom matplotlib import pyplot\n", "high"),
        (
            "pandas\n",
            "import pandas, sys\nif sys.version_info < (3, 8):\n    import importlib_metadata\n",
            None,
        ),
    ],
)
def test_what_comes_in_another_spelling_with_an_extra_or_for_some_pythons(check, declared, code, severity):
    found = check("MLE1005", {"requirements.txt": declared, "a.py": code})
    assert {f.severity.value for f in found} == ({severity} if severity else set())


@pytest.mark.parametrize(("path", "severity"), [("experiments/plot.py", "medium"), ("shapes/plot.py", "high")])
def test_what_stands_beside_a_published_package_is_in_no_installation(check, path, severity):
    project = (
        '[project]\nname = "shapes"\ndependencies = ["pandas"]\nclassifiers = ["Programming Language :: Python :: 3"]\n'
    )
    code = "import pandas, seaborn\n"
    (finding,) = check("MLE1005", {"pyproject.toml": project, "shapes/__init__.py": "", path: code})
    assert finding.severity.value == severity


def test_a_module_that_the_build_makes_of_a_template_is_local(check):
    files = {"app.py": "from config import TITLE\n", "requirements.txt": "numpy==2.0.0\n"}
    assert len([f for f in check("MLE1005", files) if f.severity.value == "high"]) == 1
    made = check("MLE1005", {**files, "config.py.in": "TITLE = '@title@'\n"})
    assert [f for f in made if f.severity.value == "high"] == []


def test_an_image_with_an_application_of_its_own_may_bring_the_package(check):
    files = {"app.py": "import maxfw\n", "requirements.txt": "numpy==2.0.0\n"}
    docker = "FROM {base}\nCOPY . .\nRUN pip install -r requirements.txt\nCMD python app.py\n"
    for base, severity in (("quay.io/acme/max-base:v1", "medium"), ("python:3.12", "high")):
        found = check("MLE1005", {**files, "Dockerfile": docker.format(base=base)})
        assert [f.severity.value for f in found if "maxfw" in f.title] == [severity]


def test_open_clip_comes_from_open_clip_torch(check):
    files = {"app.py": "import open_clip\n", "requirements.txt": "open-clip-torch==2.24.0\n"}
    assert check("MLE1005", files) == []


def test_what_a_package_imports_only_when_asked_is_low(check):
    project = '[project]\nname = "shapes"\ndependencies = ["pandas", "pyro-ppl"]\n'
    mark = 'classifiers = ["Programming Language :: Python :: 3"]\n'
    files = {
        "shapes/__init__.py": "import pandas, pyro\ndef log():\n    import mlflow\n",
        "convert.py": "import mxnet\n",
    }
    found = check("MLE1005", files | {"pyproject.toml": project + mark})
    assert {(f.title.split()[0], f.severity.value) for f in found} == {("mlflow", "low"), ("mxnet", "medium")}
    found = check("MLE1005", files | {"pyproject.toml": project})
    assert {f.severity.value for f in found if f.title.startswith("mxnet")} == {"high"}


@pytest.mark.parametrize(
    ("files", "severity"),
    [
        ({"Dockerfile": "FROM nvcr.io/nvidia/pytorch:22.11-py3\nRUN pip install -r requirements.txt\n"}, "medium"),
        ({"Dockerfile": "FROM tensorflow/tensorflow:2.16.1\nRUN pip install -r requirements.txt\n"}, "high"),
        ({"pipeline.py": "import sagemaker\nfrom sagemaker.pytorch import PyTorch\n"}, "medium"),
        ({"pipeline.py": "import sagemaker\nuri = sagemaker.image_uris.retrieve(framework='pytorch')\n"}, "medium"),
        ({"pipeline.py": "import sagemaker\nuri = sagemaker.image_uris.retrieve(framework='mxnet')\n"}, "high"),
    ],
)
def test_what_the_image_of_a_framework_holds_is_medium(check, files, severity):
    found = check(
        "MLE1005", files | {"train.py": "import torch\n", "requirements.txt": "numpy==2.0.0\nsagemaker==2.9\n"}
    )
    assert [f.severity for f in found if f.title.startswith("torch ")] == [severity]


def test_programs_that_serve_the_repository_itself_weigh_less(check):
    found = check("MLE1005", {".github/tools/make.py": "import tomli_w\n", "requirements.txt": "numpy==2.0.0\n"})
    assert [f.severity for f in found if "tomli" in f.title] == ["medium"]


@pytest.mark.parametrize(
    ("declared", "code"),
    [
        ("evaluate==0.4.0", "import datasets"),
        ("neptune-cli", "from deepsense import neptune"),
        ("lancedb", "import pyarrow"),
    ],
)
def test_what_comes_along_or_under_another_name(check, declared, code):
    found = check("MLE1005", {"app.py": f"{code}\n", "requirements.txt": f"{declared}\n"})
    assert {f.severity for f in found} <= {"low"}


@pytest.mark.parametrize(
    ("inside", "severity"),
    [("    import rare\n", "high"), ("    if fp16:\n        import rare\n", "medium")],
)
def test_what_only_an_option_imports_weighs_less(check, inside, severity):
    code = f"from sklearn.svm import SVC\ndef train(fp16):\n{inside}    SVC().fit([[1]], [1])\ntrain(False)\n"
    found = check("MLE1005", {"train.py": code, "requirements.txt": "scikit-learn==1.5.0\n"})
    assert [f.severity for f in found if f.title.startswith("rare")] == [severity]


def test_the_example_at_the_end_of_a_module_weighs_less(check):
    files = {
        "train.py": "import scaler\nfrom sklearn.svm import SVC\nSVC().fit([[1]], [1])\n",
        "scaler.py": "def f():\n    return 1\nif __name__ == '__main__':\n    import rare\n",
        "requirements.txt": "scikit-learn==1.5.0\n",
    }
    assert [f.severity for f in check("MLE1005", files) if f.title.startswith("rare")] == ["medium"]


@pytest.mark.parametrize(("readme", "severity"), [("pip install keras-tcn", "medium"), ("pip install .", "high")])
def test_a_package_that_the_readme_installs_by_its_name_is_published(check, readme, severity):
    files = {
        "setup.py": "from setuptools import setup\nsetup(\n    name='keras_tcn',\n    install_requires=['numpy'],\n)\n",
        "README.md": f"Install: `{readme}`\n",
        "tcn/__init__.py": "import numpy\n",
        "tasks/show.py": "import keract\n",
    }
    assert [f.severity for f in check("MLE1005", files) if f.title.startswith("keract")] == [severity]


def test_packages_of_django_and_google_under_their_names(check):
    code = "import rest_framework, corsheaders\nimport googleapiclient\nfrom google.api_core.client_options import X\n"
    declared = "djangorestframework==3.10\ndjango-cors-headers==3.1\ngoogle_api_python_client==1.12.8\n"
    found = check("MLE1005", {"app.py": code, "requirements.txt": declared})
    assert [finding.severity.value for finding in found] == ["low"]  # what another one brings


LIBRARY = {
    "pyproject.toml": "[project]\nname = 'lib'\ndependencies = ['numpy']\n"
    "classifiers = ['Programming Language :: Python']\n",
    "lib/core.py": "import numpy\n",
}


@pytest.mark.parametrize(
    ("init", "severity"),
    [
        ("from .core import x\nfrom . import extra\n", "high"),
        ("from .core import x\n", "medium"),
        ("from .core import x\ntry:\n    from .extra import y\nexcept ImportError:\n    y = None\n", "low"),
    ],
)
def test_what_importing_a_library_brings_weighs_most(check, init, severity):
    files = {**LIBRARY, "lib/__init__.py": init, "lib/extra.py": "import plotly\n"}
    (finding,) = check("MLE1005", files)
    assert finding.severity.value == severity


def test_what_the_readme_has_one_install_first_is_medium(check):
    files = {**LIBRARY, "lib/__init__.py": "import torch\n", "README.md": "First install [PyTorch](https://x.y).\n"}
    (finding,) = check("MLE1005", files)
    assert finding.severity.value == "medium"


def test_what_zenml_installs_for_an_integration(check):
    files = {"requirements.txt": "zenml\n", "a.py": "import zenml\nimport mlflow\nimport sklearn\nimport torch\n"}
    files["Makefile"] = "install:\n\tzenml integration install mlflow sklearn -y\n"
    assert [f.title.split()[0] for f in check("MLE1005", files)] == ["torch"]


def test_what_a_notebooks_kernel_brings(check):
    cells = ["!wget -q https://x.org/utils.py", "import sagemaker, seaborn, IPython, utils, xgboost"]
    made = [{"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": [], "source": c} for c in cells]
    notebook = {"cells": made, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    files = {"n.ipynb": json.dumps(notebook), "requirements.txt": "sagemaker\n"}
    assert [f.title.split()[0] for f in check("MLE1005", files)] == ["xgboost"]


def test_what_a_build_installs_into_the_folder_it_ships(check):
    line = "pip install crhelper -t functions/"
    build = f"version: 0.2\nphases:\n  install:\n    commands:\n      - {line}\n"
    files = {"requirements.txt": "boto3\n", "functions/a.py": "import boto3, crhelper\n", "buildspec.yml": build}
    assert check("MLE1005", files) == []
    assert len(check("MLE1005", {**files, "buildspec.yml": build.replace("crhelper", "flask")})) == 1


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import plotly\n", []),
        ("from lib.core import is_plotly_available\nif is_plotly_available():\n    import plotly\n", ["low"]),
        ("import sys\nif len(sys.path) > 1:\n    import plotly\n", ["high"]),
    ],
)
def test_an_import_that_is_asked_for_or_for_a_type_checker(check, code, expected):
    found = check("MLE1005", {**LIBRARY, "lib/__init__.py": code})
    assert [f.severity.value for f in found] == expected


def test_what_flit_declared_before_pep_621(check):
    project = "[tool.flit.metadata]\nmodule = 'm'\nrequires = ['scikit-learn']\n"
    assert check("MLE1005", {"m.py": "import sklearn\n", "pyproject.toml": project}) == []
    assert (
        len(check("MLE1005", {"m.py": "import sklearn\n", "pyproject.toml": project.replace("scikit-learn", "six")}))
        == 1
    )


@pytest.mark.parametrize("declared", ["openlineage-python", "python-openlineage", "openlineage-sdk"])
def test_the_usual_forms_of_a_name(check, declared):
    files = {"t.py": "import numpy\nimport openlineage\n", "requirements.txt": f"numpy\n{declared}==1.0\n"}
    assert check("MLE1005", files) == []
    assert len(check("MLE1005", {"requirements.txt": "numpy\nopenlineage-ui\n"})) >= 1


def test_what_a_checkout_that_the_readme_clones_holds_is_medium(check):
    files = {
        "requirements.txt": "numpy\n",
        "eval.py": "from parlai.core import a\nfrom projects.chat import b\nimport numpy\n",
    }
    assert {f.severity.value for f in check("MLE1005", files)} == {"high"}
    clone = "```\ngit clone https://example.org/x/ParlAI.git\npython setup.py develop\n```\n"
    found = check("MLE1005", {**files, "README.md": clone})
    assert {f.title.split()[0]: f.severity.value for f in found}["projects"] == "medium"


def test_a_load_test_is_no_part_of_the_program(check):
    files = {"requirements.txt": "pandas\n", "a.py": "import pandas\n", "locustfile.py": "import locust\n"}
    assert check("MLE1005", files) == []


def test_a_smaller_edition_and_a_library_of_another_name(check):
    files = {"t.py": "import numpy\nimport mlflow\nimport aws_cdk\nfrom databricks.sdk import A\n"}
    declared = "numpy\nmlflow-skinny\naws-cdk-lib\ndatabricks-sdk\n"
    assert check("MLE1005", {**files, "requirements.txt": declared}) == []


def test_only_the_image_that_a_program_is_copied_into_may_bring_a_package(check):
    docker = "FROM {base}\nCOPY . .\nRUN pip install -r requirements.txt\nCMD python main.py\n"
    files = {
        "web/main.py": "import maxfw\n",
        "web/requirements.txt": "numpy==2.0.0\n",
        "web/Dockerfile": docker.format(base="quay.io/acme/max-base:v1"),
        "model/main.py": "import numpy\n",
        "model/Dockerfile": docker.format(base="python:3.12"),
    }
    (finding,) = [f for f in check("MLE1005", files) if "maxfw" in f.title]
    assert finding.severity.value == "medium"


def test_a_tool_in_the_folder_of_reports(check):
    files = {"app.py": "import numpy\n", "requirements.txt": "numpy\n", "reports/report.py": "import markdown\n"}
    assert check("MLE1005", files) == []


def test_what_a_task_installs_beside_the_declared_ones_is_medium(check):
    files = {"requirements.txt": "numpy\n", "a.py": "import numpy\nimport llama_cpp\n"}
    files["Makefile"] = "install:\n\tpip install -r requirements.txt\n\tpip3 install llama-cpp-python==$(v)\n"
    (finding,) = check("MLE1005", files)
    assert finding.severity.value == "medium"


def test_what_an_example_alone_imports_is_medium(check):
    files = {"requirements.txt": "pandas\n", "a.py": "import pandas\n", "examples/b.py": "import plotly\n"}
    (finding,) = check("MLE1005", files)
    assert finding.severity.value == "medium"


def test_the_module_that_is_run_is_no_package(check):
    assert check("MLE1005", {"app.py": "import __main__\nimport numpy\n", "requirements.txt": "numpy==2.0.0\n"}) == []


def test_packages_that_lie_in_the_folder_that_is_shipped(check):
    files = {
        "requirements.txt": "numpy\n",
        "fn/handler.py": "import numpy\nimport httpx\n",
        "fn/httpx/a.py": "import socksio\n",
        "fn/httpx-0.28.1.dist-info/METADATA": "Name: httpx\n",
    }
    assert check("MLE1005", files) == []
    (finding,) = check("MLE1005", {"fn/handler.py": "import numpy\nimport httpx\nimport socksio\n"})
    assert len(finding.evidence) == 1


@pytest.mark.parametrize(("step", "severity"), [("pytest", "medium"), ("ruff check", "high")])
def test_what_tests_in_ci_import_is_brought_by_something(check, step, severity):
    files = {
        "requirements.txt": "obscure-thing\n",
        "a.py": "import obscure_thing\nimport plotly\n",
        "tests/test_a.py": "import a\ndef test_it():\n    assert a\n",
        ".github/workflows/ci.yml": f"on: push\njobs:\n  t:\n    steps:\n      - run: {step}\n",
    }
    (finding,) = check("MLE1005", files)
    assert finding.severity.value == severity


def test_a_script_that_tries_the_service_by_hand_is_medium(check):
    files = {"requirements.txt": "flask\n", "test_api.py": "import boto3\nprint(boto3.client('a'))\n"}
    assert [f.severity.value for f in check("MLE1005", files) if "boto3" in f.title] == ["medium"]


def test_a_component_called_by_its_last_words(check):
    files = {"requirements.txt": "streamlit-auth0-component==0.1.5\n", "app.py": "from auth0_component import button\n"}
    assert [f for f in check("MLE1005", files) if f.severity == "high"] == []
    files["requirements.txt"] = "streamlit-card==0.1.5\n"
    assert len([f for f in check("MLE1005", files) if f.severity == "high"]) == 1
