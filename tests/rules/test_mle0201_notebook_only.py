import json

CELL = "from sklearn.svm import SVC\nSVC().fit([[0], [1]], [0, 1])"
NOTEBOOK = json.dumps({"cells": [{"cell_type": "code", "source": CELL, "outputs": []}]})


def test_a_repository_of_notebooks_is_reported_once(check, place):
    (finding,) = check("MLE0201", {"a.ipynb": NOTEBOOK, "b.ipynb": NOTEBOOK})
    assert finding.severity.value == "high"
    assert place(finding) == ("a.ipynb", 2)
    assert finding.evidence[0].kind == "absence"


def test_a_script_that_trains_or_predicts_is_enough(check):
    assert check("MLE0201", {"a.ipynb": NOTEBOOK, "train.py": CELL + "\n"}) == []


def test_a_package_that_the_notebook_can_import_is_enough(check):
    assert (
        check("MLE0201", {"a.ipynb": NOTEBOOK, "lib/__init__.py": "", "lib/net.py": "def build():\n    return 1\n"})
        == []
    )


def test_a_stray_script_is_no_package(check):
    assert len(check("MLE0201", {"a.ipynb": NOTEBOOK, "setup.py": "x = 1\n", "fetch.py": "print(1)\n"})) == 1


def test_notebooks_without_a_model_are_silent(check):
    plain = json.dumps({"cells": [{"cell_type": "code", "source": "x = 1", "outputs": []}]})
    assert check("MLE0201", {"a.ipynb": plain}) == []


def test_a_notebook_that_starts_jobs_of_a_platform(check):
    cell = "import sagemaker\nest = sagemaker.estimator.Estimator('x')\nest.fit({'train': 's3://b'})"
    text = json.dumps({"cells": [{"cell_type": "code", "source": cell, "outputs": []}]})
    assert check("MLE0201", {"start.ipynb": text}) == []


def test_a_program_in_another_language_trains(check):
    assert len(check("MLE0201", {"a.ipynb": NOTEBOOK, "plots.R": "plot(x, y)\n"})) == 1
    assert check("MLE0201", {"a.ipynb": NOTEBOOK, "model.R": "fit <- train(x, y)\n"}) == []


def test_most_projects_of_a_collection_live_in_notebooks(check, place):
    files = {f"{name}/requirements.txt": "scikit-learn\n" for name in "abc"}
    files |= {f"{name}/a.ipynb": NOTEBOOK for name in "abc"} | {"c/train.py": CELL + "\n"}
    (finding,) = check("MLE0201", files)
    assert finding.severity.value == "medium"
    assert "2 of 3 projects" in finding.title
    assert place(finding) == ("a/a.ipynb", 2)
    assert check("MLE0201", files | {"b/train.py": CELL + "\n"}) == []


def test_a_module_of_a_library_is_not_the_file_of_that_name(check):
    file = {"src/preprocessing.py": "def clean(x):\n    return x\n"}
    notebook = NOTEBOOK.replace("from sklearn.svm", "from {top}.preprocessing import clean\\nfrom sklearn.svm")
    assert len(check("MLE0201", {"a.ipynb": notebook.replace("{top}", "sklearn"), **file})) == 1
    assert check("MLE0201", {"a.ipynb": notebook.replace("{top}", "src"), **file}) == []
