"""Parsers under generated input: whatever the bytes, they give an answer, and none of them takes the review down."""

from __future__ import annotations

import json
import pickle
import tempfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TypeVar

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ml_engineer.assessment import declarations, docker, manifests, savedfiles, source
from ml_engineer.assessment.assess import assess
from ml_engineer.assessment.files import File
from ml_engineer.assessment.module import Module
from ml_engineer.report.decoding import decode, split_lines
from tests.hostile.conftest import FAULTY_APP

_T = TypeVar("_T")
fuzz = settings(max_examples=60, derandomize=True, suppress_health_check=list(HealthCheck))
EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def made(name: str, data: bytes, read: Callable[[File], _T]) -> _T:
    """What a reader says of a file with this content."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        (root / name).write_bytes(data)
        return read(File(root, name, len(data)))


def mutated(seeds: Iterable[bytes], inserts: Iterable[bytes] = ()) -> st.SearchStrategy[bytes]:
    """A real text with pieces cut out, put in, doubled or turned over."""
    pieces = st.sampled_from([b"\0", b"\xff", b"\n", b'"', b"'", b"(", b"]", b"{", b":", b"$", b"\\", *inserts])

    @st.composite
    def build(draw: st.DrawFn) -> bytes:
        data = draw(st.sampled_from(list(seeds)))
        for _ in range(draw(st.integers(1, 6))):
            at = draw(st.integers(0, len(data)))
            to = min(len(data), at + draw(st.integers(0, 60)))
            match draw(st.sampled_from(["cut", "put", "double", "reverse"])):
                case "cut":
                    data = data[:at] + data[to:]
                case "put":
                    data = data[:at] + draw(pieces) + data[at:]
                case "double":
                    data = data[:to] + data[at:]
                case _:
                    data = data[:at] + data[at:to][::-1] + data[to:]
        return data

    return build()


PYTHON = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.py"))[:8]]
WORDS = [
    b"import *",
    b"from . import ",
    b"lambda: ",
    b"async ",
    b"await ",
    b"self.",
    b":=",
    b"%%time\n",
    b"!ls\n",
    b"**",
]


def index(file: File) -> Module:
    """Everything a module can be asked without its repository."""
    module = Module(file, "m", "")
    for call in module.calls:
        module.literal(call.argument(0, "x"))
        module.value(call.node.func)
        call.site()
    assert module.call_names is not None
    assert module.main_guard is None or module.main_guard in module.tree.body
    for function in module.functions.values():
        assert function in module.functions_by_scope[module.scope_of(function.node)]
    return module


@fuzz
@given(mutated(PYTHON, WORDS))
def test_mutated_python_is_parsed_or_explained(data: bytes) -> None:
    module = made("m.py", data, index)
    assert module.source.errors or module.tree.body or not data.strip()


NAMES = st.sampled_from(["a", "b", "self", "cls", "print", "torch", "A"])
ATOMS = NAMES | st.sampled_from(
    ["1", "'s'", "f'{a}'", "None", "...", "[]", "{}", "b''", "-1", "1j", "(yield)", "a.b.c"]
)


def _bigger(inner: st.SearchStrategy[str]) -> st.SearchStrategy[str]:
    templates = st.sampled_from(
        "X(X) X.a X[X] X(*X,**X) (X,X) [X,*X] {X:X,**X} {X} (X+X) (X_if_X_else_X) (lambda_a,*b,c=X,**d:X) "
        "[X_for_a_in_X_if_X] (X_and_not_X) (a:=X) X[X:X:X] X(a=X) f'{X!r:>{X}}' (X<X<=X) (await_X)".split()
    )
    return st.builds(_filled, templates, st.lists(inner, min_size=6, max_size=6))


def _filled(template: str, parts: list[str]) -> str:
    text = template.replace("_", " ")
    for part in parts:
        text = text.replace("X", f"\0{part}\0", 1)
    return text.replace("\0", "").replace("X", "a")


EXPRESSIONS = st.recursive(ATOMS, _bigger, max_leaves=12)
SIMPLE = st.sampled_from(
    "E|a = E|a, (b, *self) = E|a: E = E|a: E|a += E|self.a = E|a[E] = E|del a|return E|global a|import a.b as b|"
    "from .a import *|from a import b|raise E from E|assert E, E|pass|nonlocal a|type = E".split("|")
)
COMPOUND = st.sampled_from(
    "if E:|while E:|for a, b in E:|with E as a, E as (b, c):|try:|def a(self, b: E = E, *c: E, **d) -> E:|"
    "async def b():|"
    "class A(E, metaclass=E):|@E\ndef A():|match E:\n case [a, *b] if E:|match E:\n case A(b=c) | {'a': a}:".split("|")
)


@st.composite
def programs(draw: st.DrawFn, depth: int = 0) -> str:
    lines: list[str] = []
    for _ in range(draw(st.integers(1, 4))):
        if depth < 3 and draw(st.booleans()):
            head = draw(COMPOUND)
            pad = "  " if head.startswith("match") else " "
            body = draw(programs(depth + 1))
            block = head + "\n" + "\n".join(pad + line for line in body.split("\n"))
            lines.append(block + ("\nexcept E as a: pass" if head == "try:" else ""))
        else:
            lines.append(draw(SIMPLE))
    text = "\n".join(lines)
    if depth:
        return text
    while "E" in text:
        text = text.replace("E", draw(EXPRESSIONS).replace("E", "e"), 1)
    return text


@fuzz
@given(programs())
def test_generated_python_is_indexed(text: str) -> None:
    made("m.py", text.encode(), index)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(
                "cells cell_type source outputs output_type text data metadata execution_count kernelspec "
                "language_info name worksheets input nbformat".split()
            ),
            inner | st.sampled_from(["code", "markdown", "stream", "import torch\n", ["x = 1\n", "%%time"], "python"]),
            max_size=6,
        )
    ),
    max_leaves=20,
)


@fuzz
@given(JSON_VALUES, st.lists(JSON_VALUES, max_size=4))
def test_notebooks_of_any_json_are_parsed_or_explained(whole: object, cells: list[object]) -> None:
    for content in (whole, {"cells": cells}, {"cells": [{"cell_type": "code", "source": cell} for cell in cells]}):
        found = made("n.ipynb", json.dumps(content).encode(), source.parse)
        assert all(error.line >= 1 for error in found.errors)
        for line in range(1, len(found.lines) + 2):
            assert found.site(line).line >= 1


DOCKER = [path.read_bytes() for path in sorted(EXAMPLES.rglob("Dockerfile*"))] + [
    b'# escape=`\nARG A=1\nFROM a:${A:-2} AS b\nENV A=$A B=${B:+c}\nRUN <<E\nx\nE\nCOPY --from=b ["a"]\nEXPOSE 1\n'
]


def everything(file: File) -> list[object]:
    found = docker.parse_dockerfile(file)
    answers: list[object] = [found.problems]
    for stage in found.stages:
        answers += [
            stage.user,
            stage.workdir,
            stage.entrypoint,
            stage.cmd,
            stage.start_words,
            stage.ports,
            stage.copies,
        ]
        answers += [i.site() for i in stage.instructions] + [i.script for i in stage.instructions]
    return answers


@fuzz
@given(
    mutated(DOCKER, [b"FROM ", b"\nRUN ", b"<<E\n", b"${A:-", b"--from=", b"ONBUILD ", b"\\\n", b"EXPOSE "])
    | st.binary()
)
def test_dockerfiles_of_any_text_are_read(data: bytes) -> None:
    assert made("Dockerfile", data, everything)


YAML = [path.read_bytes() for path in sorted(EXAMPLES.rglob("*.y*ml"))] + [
    b"a: &a [1, {b: *a}]\n<<: *a\n? [x]\n: !!t |-\n  y\n"
]


def plain(file: File) -> bool:
    parsed = manifests.parse(file, file.text)
    for document in parsed.documents:
        document.plain()
        for _, node in document.walk():
            node.site()
            node.lines()
            node.truth()
    return parsed.problem is None or parsed.problem[0] >= 1


@fuzz
@given(mutated(YAML, [b"&a ", b"*a ", b"<<: ", b"!!x ", b"---\n", b"- ", b"|\n", b"\t"]) | st.binary())
def test_yaml_of_any_text_is_read_or_explained(data: bytes) -> None:
    assert made("a.yaml", data, plain)


DECLARED = [
    b"torch==2.1.0 --hash=sha256:aa\nnumpy>=1,<2 ; python_version < '3'\n-r a.txt\n-e git+https://a/b.git@c#egg=d\na @ https://b/c-1.0-py3.whl\n",
    b"[project]\ndependencies = ['a']\n[project.optional-dependencies]\nx=['c']\n[tool.poetry.dependencies]\nd='^1'\n",
    b"[packages]\na = '*'\nb = {version = '~1', git = 'https://x'}\n[dev-packages]\nc = []\n",
    b"[options]\ninstall_requires =\n  a>=1\n  b\n[options.extras_require]\nx = c\n",
    b"name: x\nchannels: [c]\ndependencies:\n  - python=3.9\n  - numpy=1.2=py_0\n  - pip:\n    - torch==1.0\n",
    b"[[package]]\nname = 'a'\nversion = '1.0'\n", b'{"default": {"a": {"version": "==1.0"}}}',
]  # fmt: skip
READERS = {
    "requirements.txt": declarations.requirements,
    "pyproject.toml": declarations.pyproject,
    "Pipfile": declarations.pipfile,
    "setup.cfg": declarations.setup_cfg,
    "environment.yml": declarations.conda,
    "poetry.lock": declarations.lock,
    "Pipfile.lock": declarations.lock,
    "conda-lock.yml": declarations.lock,
}


@pytest.mark.parametrize("name", READERS)
@settings(fuzz, max_examples=40)
@given(
    data=mutated(DECLARED, [b"==", b"^", b"~=", b" @ ", b"git+", b";", b"||", b"9" * 5_000]) | st.text().map(str.encode)
)
def test_dependency_files_of_any_text_are_read(name: str, data: bytes) -> None:
    for item in made(name, data, lambda file: list(READERS[name](file))):
        assert item.name is not None
        assert item.bounded in (True, False)


PICKLES = [pickle.dumps([{"a": (1, "b", 2.5, b"c")}, complex(1, 2), {1, 2}, range(3), Path("x")], n) for n in range(6)]
OPCODES = [
    bytes([code])
    for code in b"(.0NRbcdeghijlopqrstu}])2Q\x80\x81\x82\x85\x86\x87\x8c\x8d\x8e\x8f\x90\x91\x92\x93\x94\x95"
]


@pytest.mark.parametrize("name", ["a.pkl", "a.joblib", "a.pt", "a.bin"])
@given(
    data=mutated(PICKLES, OPCODES)
    | st.lists(st.sampled_from(OPCODES), max_size=60).map(lambda codes: b"\x80\x04" + b"".join(codes))
    | st.binary()
)
@settings(fuzz, max_examples=80)
def test_pickles_of_any_bytes_are_walked(name: str, data: bytes) -> None:
    made(name, data, savedfiles.read)


def _zip() -> bytes:
    import io
    import zipfile

    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("config.json", '{"class_name": "Lambda"}')
        archive.writestr("a/data.pkl", PICKLES[2])
    return out.getvalue()


@fuzz
@given(
    mutated(
        [_zip(), b"\x89HDF\r\n\x1a\nkeras_version\x00" + bytes(range(200)) + b"GCOL" + bytes(40)],
        [b"PK\x05\x06", b"GCOL"],
    )
)
def test_archives_of_any_bytes_are_read(data: bytes) -> None:
    for name in ("a.pt", "a.keras", "a.h5"):
        made(name, data, savedfiles.read)


@fuzz
@given(st.binary())
def test_any_bytes_become_lines_that_hold_no_line_end(data: bytes) -> None:
    assert not any(end in line for line in split_lines(decode(data)) for end in "\r\n")


TREE = st.dictionaries(
    st.sampled_from(
        "app.py train.py n.ipynb Dockerfile requirements.txt pyproject.toml docker-compose.yml k8s/a.yaml model.pkl "
        ".github/workflows/ci.yml Makefile environment.yml dvc.yaml tests/test_a.py setup.py run.sh Pipfile".split()
    ),
    mutated([*PYTHON, *DOCKER, *YAML, *DECLARED, FAULTY_APP.encode(), *PICKLES], WORDS) | st.binary(max_size=300),
    max_size=8,
)


@settings(fuzz, max_examples=12)
@given(TREE)
def test_any_small_tree_is_assessed_without_a_failure(tree: dict[str, bytes]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for name, data in tree.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        assert [problem for problem in assess(Path(folder)).problems if problem.startswith("rule ")] == []
