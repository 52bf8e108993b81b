import pytest

FIT = "from sklearn.svm import SVC\nSVC().fit([[0], [1]], [0, 1])\n"


def test_an_undefined_name_on_the_way_of_training_is_critical(check, place):
    (finding,) = check("MLE0306", {"train.py": FIT + "print(logger)\nlogger.info('done')\n"})
    assert finding.severity.value == "critical"
    assert place(finding) == ("train.py", 3)
    assert len(finding.evidence) == 2


def test_in_a_handler_it_is_critical(check):
    text = "from flask import Flask\napp = Flask(__name__)\n@app.route('/')\ndef index():\n    return render(1)\n"
    (finding,) = check("MLE0306", {"app.py": text})
    assert finding.severity.value == "critical"


def test_every_declared_entry_point_counts(check):
    job = "def job():\n    return np.zeros(1)\nif __name__ == '__main__':\n    job()\n"
    (finding,) = check("MLE0306", {"ingest.py": job})
    assert finding.severity.value == "critical"
    dag = "from airflow.decorators import task\n@task\ndef load():\n    return pd.DataFrame()\n"
    findings = check("MLE0306", {"dags/daily.py": dag})
    assert [f.severity.value for f in findings if "pd" in f.title] == ["critical"]


def test_a_function_that_nothing_calls_in_a_reached_file_is_medium(check):
    files = {"train.py": FIT + "import helper\n", "helper.py": "def unused():\n    return np.zeros(1)\n"}
    (finding,) = check("MLE0306", files)
    assert finding.severity.value == "medium"


def test_an_unknown_star_import_keeps_it_silent(check):
    assert check("MLE0306", {"train.py": "from pylab import *\n" + FIT + "plot(zeros(3))\n"}) == []


def test_tests_and_notebooks_are_no_subject(check):
    assert check("MLE0306", {"tests/test_a.py": "print(missing)\n", "n.ipynb": '{"cells": []}'}) == []


def test_a_file_that_nothing_reaches_is_silent(check):
    assert check("MLE0306", {"notes.py": "def f():\n    return np.zeros(1)\n"}) == []


def test_what_only_python_2_has_is_one_finding(check, place):
    code = "from sklearn.svm import SVC\nfor i in xrange(3):\n    SVC().fit(X(), unicode(i))\ndef X(): return [1]\n"
    (finding,) = check("MLE0306", {"a.py": code, "b.py": code})
    assert (place(finding), finding.severity, len(finding.evidence)) == (("a.py", 2), "high", 4)


@pytest.mark.parametrize(
    ("body", "found"),
    [
        ("for x in rows:\n        total += x", 1),
        ("total = 0\n    for x in rows:\n        total += x", 0),
        ("global total\n    total += 1", 0),
        ("for total in rows:\n        total += 1", 0),
        ("with open(rows) as total:\n        total += 1", 0),
        ("rows += 1", 0),
    ],
)
def test_what_a_function_only_adds_to(check, body, found):
    code = (
        f"from sklearn.svm import SVC\ntotal = 0\ndef count(rows):\n    {body}\nSVC().fit([[0], [1]], count([0, 1]))\n"
    )
    assert [f.severity.value for f in check("MLE0306", {"train.py": code})] == ["critical"] * found


def test_a_notebook_that_jupytext_keeps_as_a_script(check):
    code = "import pandas\ndf = pandas.read_csv('a.csv')\n{}display(df)\nif __name__ == '__main__':\n    df.fit()\n"
    assert check("MLE0306", {"a.py": code.format("# %%\n")}) == []
    assert len(check("MLE0306", {"a.py": code.format("# 1\n")})) == 1


def test_an_annotation_is_read_with_the_definition(check):
    code = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/a')\ndef first():\n    return 1\n"
    (finding,) = check("MLE0306", {"app.py": code + "def first(given: Row):\n    return given\n"})
    assert finding.severity.value == "critical"


@pytest.mark.parametrize(
    ("line", "found"),
    [("import StringIO", 1), ("try:\n    import StringIO\nexcept ImportError:\n    import io as StringIO", 0)],
)
def test_a_module_of_python_2(check, line, found):
    findings = check("MLE0306", {"app.py": f"{line}\nif __name__ == '__main__':\n    StringIO.read()\n"})
    assert [f.severity.value for f in findings] == ["high"] * found


def test_a_viewset_that_a_router_registers_is_reached(check):
    views = "from rest_framework import viewsets\nclass V(viewsets.ModelViewSet):\n    def perform_create(self, s):\n"
    views += "        s.save()\n        raise Nowhere()\n"
    urls = "from rest_framework.routers import DefaultRouter\nfrom views import V\n"
    urls += "router = DefaultRouter()\nrouter.register(r'v', V)\n"
    (finding,) = check("MLE0306", {"views.py": views, "urls.py": urls})
    assert finding.severity.value == "critical"


def test_what_is_handed_the_names_of_the_module_may_make_some(check):
    code = "from sklearn.svm import SVC\nimport builder\n{}\n_X.options = None\nSVC().fit([[0]], [0])\n"
    assert check("MLE0306", {"main.py": code.format("builder.Build(D, globals())")}) == []
    assert len(check("MLE0306", {"main.py": code.format("D = 1")})) == 1


def test_a_function_that_only_looks_like_an_entry_point(check):
    code = "def report(model, x, y):\n    print(model.predict(x), curve(y))\n"
    (finding,) = check("MLE0306", {"train.py": FIT, "evaluate.py": code})
    assert finding.severity.value == "medium"
    (finding,) = check("MLE0306", {"evaluate.py": f"{code}report(1, 2, 3)\n"})
    assert finding.severity.value == "critical"


def test_a_method_that_nothing_names_is_medium(check):
    code = (
        "import torch\nclass Buffer(object):\n    def fill(self):\n        return 1\n    def clear(self):\n"
        "        return SumTree(size)\nbuffer = Buffer()\nsize = buffer.fill()\n{}torch.zeros(1).backward()\n"
    )
    assert {f.severity.value for f in check("MLE0306", {"train.py": code.format("")})} == {"medium"}
    assert {f.severity.value for f in check("MLE0306", {"train.py": code.format("buffer.clear()\n")})} == {"critical"}


def test_a_main_that_tensorflow_starts(check):
    train = f"{FIT}def crop():\n    return h\n\ndef main(_):\n    SVC().fit([[0]], [crop()])\n"
    run = "import tensorflow as tf\nif __name__ == '__main__':\n    tf.app.run()\n"
    assert {f.severity.value for f in check("MLE0306", {"train.py": f"import tensorflow as tf\n{train}{run}"})} == {
        "critical"
    }


def test_what_runs_under_python_2_only_is_told_once(check):
    train = "import cPickle\nfrom sklearn.svm import SVC\nSVC().fit([[0]], [0])\nprint cPickle.load(open('m'))\n"
    assert check("MLE0306", {"train.py": train}) == []
    assert len(check("MLE0306", {"train.py": train.replace("print ", "")})) == 1
