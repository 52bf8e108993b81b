import json

import pytest

from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.undefined import exports, undefined


@pytest.fixture
def names(tmp_path):
    """Names that are undefined in `main.py`, as (name, line, comes later)."""

    def find(text, **files):
        (tmp_path / "main.py").write_text(text)
        for name, content in files.items():
            (tmp_path / f"{name}.py").write_text(content)
        repo = Repo.open(tmp_path)
        return [(u.name, u.node.lineno, u.later is not None) for u in undefined(repo, repo.by_path["main.py"])]

    return find


@pytest.fixture
def notebook_names(tmp_path):
    def find(*cells):
        content = {"cells": [{"cell_type": "code", "source": c, "outputs": []} for c in cells], "nbformat": 4}
        (tmp_path / "n.ipynb").write_text(json.dumps(content))
        repo = Repo.open(tmp_path)
        return [(u.name, u.later is not None) for u in undefined(repo, repo.by_path["n.ipynb"])]

    return find


def test_a_name_without_any_binding_is_found_in_a_function_and_at_the_top(names):
    assert names("def f():\n    return np.zeros(3)\n") == [("np", 2, False)]
    assert names("print(missing)\n") == [("missing", 1, False)]


def test_a_name_bound_only_further_down_is_too_late_for_straight_code_alone(names):
    assert names("print(x)\nx = 1\n") == [("x", 1, True)]
    assert names("def f():\n    return x\nx = 1\nf()\n") == []
    assert names("for i in range(2):\n    if i:\n        print(x)\n    x = 1\n") == []


@pytest.mark.parametrize(
    "text",
    [
        "import os.path as p, sys\nprint(p, sys)\n",
        "try:\n    import a\nexcept ImportError as e:\n    a = e\nprint(a)\n",
        (
            "def f(a, /, b=1, *c, d, **e):\n    global g\n    g = 1\n    return a, b, c, d, e\nprint(f)\ndef h():\n"
            "    return g\n"
        ),
        "x = [y for y in range(3) if (z := y)]\nprint(z)\n",
        "class A:\n    k = 1\n    n = [k]\n    def m(self):\n        return __class__\n",
        "with open('f') as f, open('g') as (a, *b):\n    print(f, a, b)\n",
        (
            "match 1:\n    case {'k': v, **rest}:\n        print(v, rest)\n    case [a, *b] | (a, b) as c:\n"
            "        print(a, b, c)\n"
        ),
        "from __future__ import annotations\ndef f(x: Nowhere) -> Gone:\n    y: Never = 1\n    return x\n",
        "def f():\n    y: Never = 1\n    return y\n",
        "f = lambda a, b=1: a + b\n",
        "def outer():\n    n = 0\n    def inner():\n        nonlocal n\n        n += 1\n    return inner\n",
        "print(__file__, __name__, __doc__, __builtins__)\n",
        "if False:\n    print(never)\n",
        "def f():\n    return 1\n    print(never)\n",
        "import sys\nif sys.version_info[0] < 3:\n    text = unicode\n",
        "try:\n    text = unicode\nexcept NameError:\n    text = str\n",
        "if 'extra' in globals():\n    print(extra)\n",
        "globals()['made'] = 1\nprint(made)\n",
        "exec('made = 1')\nprint(made)\n",
        "import torch\nfrom elsewhere import *\nprint(whatever)\n",
        "def f():\n    del missing\n",
        "ip = get_ipython()\n",
        "@profile\ndef f():\n    pass\n",
    ],
)
def test_what_python_itself_accepts_or_may_accept_is_silent(names, text):
    assert names(text) == []


def test_a_class_hides_its_names_from_its_methods(names):
    assert names("class A:\n    k = 1\n    def m(self):\n        return k\n") == [("k", 4, False)]


def test_a_comprehension_keeps_its_variable(names):
    assert names("x = [y for y in range(3)]\nprint(y)\n") == [("y", 2, False)]


def test_evaluated_annotations_are_reads(names):
    assert names("def f(x: Nowhere):\n    return x\n") == [("Nowhere", 1, False)]


def test_a_star_import_of_this_repository_is_followed(names):
    helper = "from other import *\nvalue = 1\n"
    assert names("from helper import *\nprint(value, deep)\n", helper=helper, other="deep = 2\n") == []
    assert names("from helper import *\nprint(gone)\n", helper=helper, other="deep = 2\n") == [("gone", 2, False)]
    assert names("from helper import *\nprint(gone)\n", helper="from numpy import *\n") == []


def test_exports_are_unknown_behind_a_foreign_star(tmp_path):
    (tmp_path / "a.py").write_text("from numpy import *\n")
    (tmp_path / "b.py").write_text("def f(): ...\nclass C: ...\n")
    repo = Repo.open(tmp_path)
    assert exports(repo, repo.by_path["a.py"], set()) is None
    assert exports(repo, repo.by_path["b.py"], set()) == {"f", "C"}


def test_in_a_notebook_the_order_of_cells_counts(notebook_names):
    assert notebook_names("print(x)", "x = 1") == [("x", True)]
    assert notebook_names("def f():\n    return x", "x = 1", "f()") == []
    assert notebook_names("for i in range(3):\n    print(i, x)", "x = 1") == [("x", True)]
    assert notebook_names("x = 1\nprint(x)") == []


@pytest.mark.parametrize(
    "cells",
    [
        ("%store -r df", "print(df)"),
        ("%pylab inline", "plot(x)"),
        ("%run setup.ipynb", "print(anything)"),
        ("%%capture out\nprint(1)", "print(out)"),
        ("files = !ls", "print(files)"),
        ("display(1)", "print(_, _3, In, Out)"),
        ("broken = (", "print(broken)"),
        ("from fastai.vision.all import *", "learn = cnn_learner(dls)"),
        ("%%time\nx = 1", "print(x)"),
        ("%%bash\necho $y", "print(1)"),
    ],
)
def test_what_a_kernel_or_a_magic_brings_is_no_hidden_state(notebook_names, cells):
    assert notebook_names(*cells) == []
