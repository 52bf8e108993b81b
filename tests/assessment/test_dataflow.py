"""Where values come from, read on small programs."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from ml_engineer.assessment.dataflow import flows, root, same_value, sources
from ml_engineer.assessment.module import Call
from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.taint import taint

Program = Callable[..., Repo]


@pytest.fixture
def program(tmp_path: Path) -> Program:
    def write(main: str = "", **others: str) -> Repo:
        files: Mapping[str, str] = {"main": main, **others}
        for name, text in files.items():
            (tmp_path / f"{name}.py").write_text(textwrap.dedent(text))
        return Repo.open(tmp_path)

    return write


def sink(repo: Repo, name: str = "sink") -> Call:
    module = repo.by_path["main.py"]
    return next(c for c in module.calls if ast.unparse(c.node.func) == name)


def origin_names(repo: Repo, position: int = 0) -> set[str]:
    call = sink(repo)
    return {step.name for step in sources(repo, call.module, call.node.args[position]) if step.name}


def test_assignments_items_and_method_chains_are_followed(program):
    repo = program("""
        import pandas as pd
        df = pd.read_csv("a.csv")
        X = df.drop(columns=["y"]).values[:, 1:]
        sink(X)
    """)
    assert "pandas.read_csv" in origin_names(repo)


def test_the_latest_binding_counts_and_an_earlier_one_does_not(program):
    repo = program("""
        import pandas as pd
        X = pd.read_csv("a.csv")
        X = pd.read_json("b.json")
        sink(X)
    """)
    assert origin_names(repo) == {"pandas.read_json"}


def test_both_branches_reach_what_follows_them(program):
    repo = program("""
        import pandas as pd
        if fast:
            X = pd.read_csv("a.csv")
        else:
            X = pd.read_json("b.json")
        sink(X)
    """)
    assert {"pandas.read_csv", "pandas.read_json"} <= origin_names(repo)


def test_an_unpacked_name_leads_to_its_own_part(program):
    repo = program("""
        from sklearn.model_selection import train_test_split
        X, y = load_x(), load_y()
        a, b, c, d = train_test_split(X, y)
        sink(b)
    """)
    call = sink(repo)
    steps = list(sources(repo, call.module, call.node.args[0]))
    assert any(s.name.endswith("train_test_split") and s.suffix == "[1]" for s in steps)
    texts = {ast.unparse(s.node) for s in steps}
    assert "load_x()" in texts and "load_y()" not in texts


def test_a_local_function_is_entered_with_the_arguments_of_this_call(program):
    repo = program(
        """
        from helper import pair
        import pandas as pd
        left, right = pair(pd.read_csv("a.csv"), pd.read_json("b.json"))
        pair(pd.read_excel("c.xls"), 1)
        sink(left)
        """,
        helper="""
        def pair(a, b):
            first = a.dropna()
            return first, b
        """,
    )
    names = origin_names(repo)
    assert "pandas.read_csv" in names
    assert "pandas.read_json" not in names and "pandas.read_excel" not in names


def test_a_parameter_leads_to_the_callers(program):
    repo = program("""
        import pandas as pd
        def train(data, rate=0.1):
            sink(data)
        train(data=pd.read_csv("a.csv"))
    """)
    assert "pandas.read_csv" in origin_names(repo)


def test_attributes_of_self_are_followed_between_methods(program):
    repo = program("""
        import pandas as pd
        class Job:
            def __init__(self):
                self.raw = None
            def load(self):
                self.raw, self.other = pd.read_csv("a.csv"), pd.read_json("b.json")
            def run(self):
                sink(self.raw)
    """)
    assert origin_names(repo) == {"pandas.read_csv"}


def test_writes_into_a_part_count_until_the_name_is_bound_again(program):
    repo = program("""
        import pandas as pd
        df = frame()
        df["x"] = pd.read_csv("a.csv")
        df = other()
        df["x"] = pd.read_json("b.json")
        sink(df)
    """)
    assert "pandas.read_json" in origin_names(repo)
    assert "pandas.read_csv" not in origin_names(repo)


def test_an_item_of_a_dict_leads_to_the_value_of_its_key(program):
    repo = program("""
        import pandas as pd
        def load():
            return {"train": pd.read_csv("a.csv"), "test": pd.read_json("b.json")}
        parts = load()
        sink(parts["test"])
    """)
    assert {"pandas.read_json"} == {n for n in origin_names(repo) if n.startswith("pandas")}


def test_the_shape_of_data_is_not_the_data(program):
    repo = program("""
        import pandas as pd
        df = pd.read_csv("a.csv")
        sink(df.shape[0], len(df))
    """)
    assert origin_names(repo) == set()
    assert "pandas.read_csv" not in origin_names(repo, 1)


def test_flows_names_the_sink_that_is_reached(program):
    repo = program("""
        import pandas as pd
        df = pd.read_csv("a.csv")
        other = 1
        sink(other)
        sunk(df + 1)
    """)
    module = repo.by_path["main.py"]
    read = next(c for c in module.calls if c.name == "pandas.read_csv")
    sinks = [(module, c.node.args[0]) for c in (sink(repo), sink(repo, "sunk"))]
    assert flows(repo, read.node, sinks) == sinks[1]


def test_cycles_end(program):
    repo = program("""
        def a(x):
            return b(x)
        def b(x):
            return a(x)
        y = a(1)
        while True:
            y = y + a(y)
            sink(y)
    """)
    assert origin_names(repo) is not None


def test_same_value_needs_the_same_bindings(program):
    repo = program("""
        X = f()
        sink(X, X)
        sunk(X)
        X = g()
        late(X)
    """)
    module = repo.by_path["main.py"]
    first, second = sink(repo).node.args
    assert same_value(module, first, second)
    assert not same_value(module, first, sink(repo, "late").node.args[0])


def test_the_root_of_a_chain_is_its_first_name():
    found = root(ast.parse("df.loc[3].copy()", mode="eval").body)
    assert found is not None and found.id == "df"


@pytest.mark.parametrize(
    ("expression", "kinds"),
    [
        ("sys.argv[1]", {"argv"}),
        ("os.environ['MODEL']", {"env"}),
        ("os.path.join(os.getenv('HOME', '.'), 'm')", {"env"}),
        ("request.args['path']", {"request"}),
        ("requests.get('https://x.org/m').content", {"url"}),
        ("'models/m.pkl'", set()),
    ],
)
def test_taint_says_who_decides_a_value(program, expression, kinds):
    repo = program(f"import os, sys, requests\nfrom flask import request\npath = {expression}\nsink(path)\n")
    call = sink(repo)
    assert taint(repo, call.module, call.node.args[0]) == kinds


def test_a_parameter_of_a_route_is_decided_by_the_request(program):
    repo = program("""
        from fastapi import FastAPI
        app = FastAPI()
        @app.get("/m")
        def handler(name: str):
            sink("models/" + name)
    """)
    call = sink(repo)
    assert taint(repo, call.module, call.node.args[0]) == {"request"}
