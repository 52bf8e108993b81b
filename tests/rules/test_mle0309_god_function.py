LONG = "".join(f"    value_{n} = {n}\n" for n in range(80))
JOBS = "    df = pd.read_csv('a.csv')\n    X = df.fillna(0)\n    SVC().fit(X, df.y)\n"
HEAD = "import pandas as pd\nfrom sklearn.svm import SVC\n"


def test_a_long_function_that_reads_transforms_and_fits(check, place):
    (finding,) = check("MLE0309", {"a.py": HEAD + "def run():\n" + JOBS + LONG})
    assert place(finding) == ("a.py", 3)
    assert "read, transform, fit" in finding.title


def test_a_branching_function_counts_as_well(check):
    branches = "".join(f"    if df.a == {n}:\n        pass\n" for n in range(16))
    (finding,) = check("MLE0309", {"a.py": HEAD + "def run():\n" + JOBS + branches})
    assert "branches" in finding.title


def test_a_script_counts(check):
    text = HEAD + (JOBS + LONG).replace("    ", "")
    (finding,) = check("MLE0309", {"a.py": text})
    assert "script" in finding.title


def test_length_alone_and_few_jobs_are_silent(check):
    assert check("MLE0309", {"a.py": HEAD + "def run():\n" + LONG}) == []
    assert check("MLE0309", {"a.py": HEAD + "def run():\n" + JOBS}) == []


def test_a_function_that_only_calls_others_is_silent(check):
    assert (
        check("MLE0309", {"a.py": "from lib import load, prepare, fit\ndef run():\n    fit(prepare(load()))\n" + LONG})
        == []
    )


def test_notebooks_are_meant_to_do_it_all(check):
    import json

    cell = {"cell_type": "code", "source": HEAD + "def run():\n" + JOBS + LONG, "outputs": []}
    assert check("MLE0309", {"n.ipynb": json.dumps({"cells": [cell]})}) == []
