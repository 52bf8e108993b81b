"""Files whose content is hostile: each gets a finding or nothing, never an error, and the rest is still reviewed."""

from __future__ import annotations

import json
import pickle
import struct
import time
import zipfile
import zlib
from collections.abc import Callable, Iterable
from pathlib import Path

import pytest

from ml_engineer.assessment.record import Assessment
from tests.hostile.conftest import findings_at, survives

UNPARSEABLE = "MLE0307"
UNREAD = "MLE0113"


def notebook(**cell: object) -> str:
    return json.dumps({"nbformat": 4, "nbformat_minor": 5, "metadata": {}, "cells": [{"cell_type": "code"} | cell]})


BROKEN_PYTHON = {
    "python 2": "print 'hello'\nexec 'x = 1'\nraise ValueError, 'no'\n",
    "merge markers": "<<<<<<< HEAD\nx = 1\n=======\nx = 2\n>>>>>>> other\n",
    "nul bytes": "x = 1\0\ny = 2\n",
    "deep brackets": "x = " + "(" * 5_000 + ")" * 5_000 + "\n",
    "deep lists": "x = " + "[" * 90_000 + "\n",
    "deep blocks": "".join(" " * depth + "if x:\n" for depth in range(150)) + " " * 150 + "pass\n",
    "deep unary": "x = " + "not " * 50_000 + "y\n",
    "deep lambda": "x = " + "lambda: " * 20_000 + "y\n",
    "magics in a script": "%matplotlib inline\n!pip install torch\nimport torch\n",
    "unclosed text": 'x = """' + "a" * 1_000,
    "a binary": "\x00\x01\x02\x7f" * 5_000,
    "null in name": "def f\0():\n    pass\n",
    "form feeds": "\f\fif x:\f\n\fy = (\n",
    "tabs and spaces": "if x:\n\ty = 1\n        z = 2\n",
}
# Parsed or given up by the parser of the Python at hand; either is right, failing is not.
STRANGE_PYTHON = {
    "long sum": "x = " + "+".join(["1"] * 20_000) + "\n",
    "sum of calls": "x = " + "+".join(f"f({n})" for n in range(700)) + "\n",
    "long chain": "x = a" + ".b" * 5_000 + "\n",
    "chain of calls": "import pandas as pd\nx = pd.read_csv('a')" + ".dropna()" * 900 + "\n",
    "chain of items": "x = a" + "[0]" * 900 + "\n",
    "long and": "x = " + " and ".join(["a"] * 20_000) + "\n",
    "deep conditionals": "x = " + "1 if a else " * 900 + "2\n",
    "deep elif": "if a:\n    pass\n" + "elif a:\n    pass\n" * 900,
    "deep attributes of self": "class A:\n    def f(self):\n        self.a = self.a" + ".a" * 900 + "\n",
    "deep names": "".join(f"x{n + 1} = x{n}\n" for n in range(5_000)) + "x5000.fit()\n",
    "cyclic names": "a = b\nb = a\na.fit(b)\nclass A(A): pass\ndef f(): return f()\nf().x()\n",
    "cyclic classes": "class A(B): pass\nclass B(A): pass\nB().fit()\n",
    "cyclic imports": "from a import *\nfrom strange import x\nimport strange\nx.y()\n",
    "one long line": "x = [" + "1, " * 60_000 + "]\n",
    "one long text": "x = '" + "a" * 1_500_000 + "'\n",
    "many functions": "".join(f"def f{n}(a, b=f{n - 1}): return f{n - 1}(a)\n" for n in range(1, 2_000)),
    "nested functions": "".join(" " * depth + f"def f{depth}(x):\n" for depth in range(90)) + " " * 90 + "pass\n",
    "nested classes": "".join(" " * depth + f"class C{depth}:\n" for depth in range(90)) + " " * 90 + "x = C1()\n",
    "big number": "x = " + "9" * 10_000 + "\n",
    "big power": "x = 9 ** 9 ** 9 ** 9\ny = 'a' * 10 ** 12\nz = [0] * 10 ** 12\nw = 1 << 10 ** 12\n",
    "big arguments": "import torch\ntorch.nn.Linear(" + ",".join(["1"] * 5_000) + ")\n",
    "surrogates": "x = '\\ud800'\nopen('\\udfff.pkl')\nimport pickle\npickle.load(open('\\ud800'))\n",
    "bidi": "x = 'a\u202e\u2066'\nif x: # \u202e } if begin\n    pass\n",
    "other encoding": "# -*- coding: utf-16 -*-\nx = 1\n",
    "rot13": "# coding: rot13\nvzcbeg bf\n",
    "unknown encoding": "# coding: nonsense\nx = 1\n",
    "only comment": "#",
    "empty": "",
    "carriage returns": "import os\rimport sys\rx = 1\r",
    "type params": "def f(*, **kw): pass\nmatch x:\n    case {**r}: pass\n    case [*_, A(b=1)] | None: pass\n",
    "starred": "print(*a, **b)\nf(*a)(**b)[*c]\nx, *y = z\nfor i, (j, *k) in l: pass\n",
    "walrus": "while (x := f()): y = [x := 1 for _ in a]\n",
    "ignore comments": "x = eval(a)  # ml-engineer: ignore[" + "MLE0502," * 5_000 + "\n# ml-engineer: ignore[]\n",
}


def fill(target: Path, texts: dict[str, str], suffix: str) -> dict[str, str]:
    """A file for each text. Its path -> what it is."""
    paths = {f"strange_{number}{suffix}": name for number, name in enumerate(texts)}
    for path, text in zip(paths, texts.values(), strict=True):
        (target / path).write_text(text, newline="")
    return paths


def unnamed(assessment: Assessment, paths: dict[str, str]) -> set[str]:
    """Which of the files have no finding that they cannot be parsed."""
    return {name for path, name in paths.items() if UNPARSEABLE not in findings_at(assessment, path)}


def test_source_that_cannot_be_parsed_is_a_finding(target: Path) -> None:
    paths = fill(target, BROKEN_PYTHON, ".py")
    assert unnamed(survives(target), paths) == set()


def test_strange_source_is_reviewed(target: Path) -> None:
    fill(target, STRANGE_PYTHON, ".py")
    survives(target)


def test_bytes_in_no_encoding_are_reviewed(target: Path) -> None:
    (target / "latin.py").write_bytes(b"# caf\xe9\nx = '\xff\xfe'\n")
    (target / "utf16.py").write_bytes("import torch\n".encode("utf-16"))
    (target / "cut.py").write_bytes("import torch\n".encode("utf-16")[:-1])
    (target / "requirements.txt").write_bytes(b"\xff\xfe\x00flask==1.0\n\xc3\x28\n")
    (target / "Dockerfile").write_bytes(b"FROM python:3\xff\nCMD \xfe\n")
    (target / "k8s.yaml").write_bytes(b"a: \xff\xfe\n\x00")
    survives(target)


BROKEN_NOTEBOOKS = {
    "not JSON": "{nonsense",
    "cut": notebook(source="x = 1")[:-20],
    "a list": "[]",
    "a text": '"cells"',
    "a number": "1e400",
    "not a number": "NaN",
    "null": "null",
    "cells a dict": '{"cells": {"a": 1}}',
    "cells a text": '{"cells": "abc"}',
    "cells null": '{"cells": null}',
    "no cells": "{}",
    "deep": "[" * 100_000,
    "deep and closed": '{"cells": ' + "[" * 50_000 + "]" * 50_000 + "}",
    "source does not parse": notebook(source="x = (", outputs=[]),
}
STRANGE_NOTEBOOKS = {
    "empty": "",
    "cells of all types": '{"cells": [1, null, "a", [], {}, true, {"cell_type": 1}, {"cell_type": ["code"]}]}',
    "source an int": notebook(source=5),
    "source null": notebook(source=None),
    "source a dict": notebook(source={"a": 1}),
    "source mixed": notebook(source=["x = 1\n", 5, None, ["a"]]),
    "outputs a text": notebook(source="x = 1", outputs="abc"),
    "outputs of all types": notebook(source="x = 1", outputs=[1, None, "a", [], {}, {"output_type": 5}]),
    "output text a dict": notebook(source="x", outputs=[{"output_type": "stream", "text": {"a": 1}, "name": 5}]),
    "output data a list": notebook(source="x", outputs=[{"output_type": "display_data", "data": [1]}]),
    "output data of all types": notebook(
        source="x", outputs=[{"output_type": "execute_result", "data": {"text/plain": 5, "image/png": {}, "": None}}]
    ),
    "error of all types": notebook(
        source="x", outputs=[{"output_type": "error", "ename": 1, "evalue": {}, "traceback": 5}]
    ),
    "traceback of all types": notebook(source="x", outputs=[{"output_type": "error", "traceback": [1, None, {}]}]),
    "count a text": notebook(source="x = 1", execution_count="one"),
    "count a bool": notebook(source="x = 1", execution_count=True),
    "count a float": notebook(source="x = 1", execution_count=1.5),
    "count huge": notebook(source="x = 1", execution_count=10**30),
    "cell metadata a list": notebook(source="x = 1", metadata=[1]),
    "tags a number": notebook(source="x = 1", metadata={"tags": 5}),
    "metadata a list": '{"cells": [], "metadata": [1]}',
    "kernel a list": '{"cells": [], "metadata": {"kernelspec": [], "language_info": {"name": 5, "version": []}}}',
    "worksheets": '{"worksheets": [{"cells": [{"cell_type": "code", "input": ["x=1"], "prompt_number": []}]}]}',
    "worksheets of all types": '{"worksheets": [1, "a", null]}',
    "format of a text": '{"nbformat": "four", "cells": [{"cell_type": "code", "source": "x = 1"}]}',
    "surrogates": '{"cells": [{"cell_type": "code", "source": "x = \'\\ud800\'\\nimport torch"}]}',
    "surrogates that do not parse": '{"cells": [{"cell_type": "code", "source": "x = ( \\ud800"}]}',
    "nul bytes": notebook(source="x = 1\0\ny = 2"),
    "magics": notebook(source="%%bash\nrm -rf /\n"),
    "broken magics": notebook(source="%%\n%\n!\n?\n??\nx = !ls\n%%time\ny = %who \\\n"),
    "magic alone": notebook(source="%%writefile"),
    "indented magics": notebook(source="if x:\n    %time y()\n    !ls\nfor i in x: !ls {i}\n"),
    "deep but valid": notebook(source="x = " + "(" * 150 + ")" * 150),
    "many cells": json.dumps({"cells": [{"cell_type": "code", "source": f"x{n} = {n}\n"} for n in range(3_000)]}),
    "one line of ten megabytes": notebook(
        source="import torch", outputs=[{"output_type": "display_data", "data": {"image/png": "A" * 10_000_000}}]
    ),
    "source of one line of megabytes": notebook(source="x = '" + "a" * 3_000_000 + "'"),
    "duplicate keys": '{"cells": 1, "cells": [{"cell_type": "code", "source": "x=1", "source": 5}]}',
}


def test_broken_notebooks_are_findings(target: Path) -> None:
    paths = fill(target, BROKEN_NOTEBOOKS, ".ipynb")
    assert unnamed(survives(target), paths) == set()


def test_strange_notebooks_are_reviewed(target: Path) -> None:
    fill(target, STRANGE_NOTEBOOKS, ".ipynb")
    survives(target)


BILLION = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{b}: &{b} [*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a},*{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
)
BROKEN_YAML = {
    "tabs": "a:\n\t- b\n",
    "unclosed": 'a: [1, 2\nb: "x\n',
    "bomb": BILLION,
    "merge bomb": "a: &a {x: 1}\n" + "".join(f"b{n}: &a\n  <<: [*a, *a]\n  k{n}: *a\n" for n in range(60)),
    "deep lists": "[" * 50_000,
    "deep maps": "{a: " * 5_000,
    "deep block": "\n".join(" " * n + "a:" for n in range(1_200)),
    "control characters": "a: \x01\x02\n",
    "unknown alias": "a: *nobody\n",
    "cyclic alias": "a: &a [*a]\n",
}
STRANGE_YAML = {
    "python tags": "a: !!python/object/apply:os.system ['touch /canary']\nb: !!python/name:os.system\n",
    "a list": "- 1\n- [a]\n- {b: c}\n",
    "a text": "hello\n",
    "empty documents": "---\n---\n...\n---\n",
    "keys of all types": "1: a\n[1, 2]: b\n{a: b}: c\n? [x]\n: y\ntrue: d\nnull: e\n",
    "merge of all types": "a:\n  <<: 5\nb:\n  <<: [1, a]\nc: {<<: null}\n",
    "numbers": "a: .inf\nb: -.\nc: 0x\nd: 1e99999\ne: 9" + "9" * 6_000 + "\nf: _1\ng: 1__\nh: +.e\n",
    "multi": "a: 1\n" + "---\na: 1\n" * 5_000,
}
YAML_PLACES = [
    "k8s/deployment.yaml",
    "docker-compose.yml",
    ".github/workflows/ci.yml",
    ".gitlab-ci.yml",
    "dvc.yaml",
    "conda.yml",
    "MLproject",
    "prometheus/alerts.yml",
    "chart/values.yaml",
    "chart/Chart.yaml",
    "azure-pipelines.yml",
    ".circleci/config.yml",
    "params.yaml",
    ".pre-commit-config.yaml",
    "data.csv.dvc",
]


def spread(target: Path, places: list[str], text: str) -> None:
    """The same text under many names."""
    for place in places:
        path = target / place
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, newline="")


def spread_all(target: Path, places: list[str], texts: Iterable[str]) -> None:
    """Each text under many names, in a folder of its own."""
    for number, text in enumerate(texts):
        spread(target / f"part{number}", places, text)


def test_broken_yaml_is_a_finding_wherever_it_stands(target: Path) -> None:
    spread_all(target, YAML_PLACES, BROKEN_YAML.values())
    assessment = survives(target)
    paths = {f"part{number}/k8s/deployment.yaml": name for number, name in enumerate(BROKEN_YAML)}
    assert unnamed(assessment, paths) == set()


@pytest.mark.parametrize("name", STRANGE_YAML)
def test_strange_yaml_is_reviewed_wherever_it_stands(target: Path, name: str) -> None:
    spread(target, YAML_PLACES, STRANGE_YAML[name])
    survives(target)


WRONG_TYPES = ["null", "5", "abc", "[]", "{}", "[1, [2], {a: 3}]", "{a: [1], b: {c: null}}", "true", "'$X'"]
SHAPES = {
    "k8s/deployment.yaml": [
        "apiVersion: apps/v1\nkind: Deployment\nmetadata: X\nspec: X\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {replicas: X, template: {metadata: X, spec: X}}\n",
        "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: X, volumes: X}}}\n",
        (
            "apiVersion: apps/v1\nkind: Deployment\nspec: {template: {spec: {containers: [X, {name: X, image: X,"
            " ports: X,"
            " env: X, resources: X, readinessProbe: X, livenessProbe: X, securityContext: X, command: X, args: X,"
            " volumeMounts: X, envFrom: X}]}}}\n"
        ),
        "apiVersion: X\nkind: X\nitems: X\n",
        "apiVersion: v1\nkind: List\nitems: [X, {kind: Service, spec: {ports: X, selector: X}}]\n",
        "apiVersion: v1\nkind: Service\nspec: {ports: [X, {port: X, targetPort: X}], selector: X}\n",
        "apiVersion: serving.kserve.io/v1beta1\nkind: InferenceService\nspec: {predictor: X}\n",
        "apiVersion: v1\nkind: Secret\ndata: X\nstringData: X\n",
        "apiVersion: v1\nkind: ConfigMap\ndata: {a: X}\n",
        "apiVersion: autoscaling/v2\nkind: HorizontalPodAutoscaler\nspec: {minReplicas: X, scaleTargetRef: X}\n",
    ],
    "docker-compose.yml": [
        "version: X\nservices: X\n",
        "services: {a: X}\n",
        (
            "services: {a: {build: X, image: X, ports: X, environment: X, volumes: X, depends_on: X, command: X,"
            " healthcheck: X, deploy: X, env_file: X, restart: X, entrypoint: X, shm_size: X, ipc: X}}\n"
        ),
        "services: {a: {build: {context: X, dockerfile: X, args: X}, ports: [X], volumes: [X], environment: [X]}}\n",
    ],
    ".github/workflows/ci.yml": [
        "on: X\njobs: X\n",
        "on: {push: X, pull_request_target: X, schedule: X, workflow_call: X}\njobs: {a: X}\npermissions: X\nenv: X\n",
        "on: push\njobs: {a: {runs-on: X, steps: X, strategy: X, needs: X, permissions: X, if: X, uses: X, env: X}}\n",
        "on: push\njobs: {a: {steps: [X, {uses: X, run: X, with: X, env: X, if: X, name: X, shell: X}]}}\n",
        (
            "on: push\njobs: {a: {strategy: {matrix: X}, steps: [{uses: actions/setup-python@v2,"
            " with: {python-version: X}}, {uses: actions/checkout@v1, with: X}]}}\n"
        ),
        (
            "on: push\njobs: {a: {strategy: {matrix: {python-version: X, include: X}}, steps: [{uses:"
            " actions/setup-python@v2, with: {python-version: '${{ matrix.python-version }}'}}]}}\n"
        ),
    ],
    ".gitlab-ci.yml": [
        "stages: X\ntest: X\nimage: X\n",
        "test: {script: X, stage: X, image: X, rules: X, extends: X}\n",
    ],
    "dvc.yaml": ["stages: X\n", "stages: {a: X}\n", "stages: {a: {cmd: X, deps: X, outs: X, params: X, metrics: X}}\n"],
    "environment.yml": ["dependencies: X\nchannels: X\n", "dependencies: [X, {pip: X}, python=X]\nname: X\n"],
    "MLproject": ["entry_points: X\nconda_env: X\n", "entry_points: {main: {command: X, parameters: X}}\n"],
    "alerts.yml": [
        "groups: X\n",
        "groups: [X, {rules: X}]\n",
        "groups: [{name: X, rules: [X, {alert: X, expr: X}]}]\n",
    ],
    "prometheus.yml": ["scrape_configs: X\nrule_files: X\n", "scrape_configs: [X, {static_configs: X}]\n"],
    "azure-pipelines.yml": ["steps: X\njobs: X\nstages: X\n", "steps: [X, {script: X, task: X, inputs: X}]\n"],
    ".circleci/config.yml": [
        "jobs: X\nworkflows: X\n",
        "jobs: {a: {docker: X, steps: [X, {run: X}, {run: {command: X}}]}}\n",
    ],
    "chart/Chart.yaml": ["name: X\nversion: X\n"],
    ".pre-commit-config.yaml": ["repos: X\n", "repos: [X, {repo: X, hooks: X}]\n"],
    "model.pkl.dvc": ["outs: X\n", "outs: [X, {md5: X, path: X}]\n"],
    "dvc.lock": ["stages: X\n", "stages: {a: {deps: X, outs: [X]}}\n"],
}


@pytest.mark.parametrize("value", WRONG_TYPES)
def test_yaml_with_values_of_the_wrong_type_is_reviewed(target: Path, value: str) -> None:
    for path, shapes in SHAPES.items():
        spread_all(target, [path], [shape.replace("X", value) for shape in shapes])
    survives(target)


TEXT_GARBAGE = {
    "empty": "",
    "nul": "\0\0\0",
    "one long line": "a" * 200_000,
    "long lines of blanks": (" " * 1_000 + "x\n") * 20,
    "brackets": "[" * 10_000,
    "braces": "{" * 10_000,
    "quotes": "'\"`" * 3_000,
    "backslashes": "\\\n" * 5_000,
    "controls": "\x1b[31m\x07\x08\r\x00\x9b" * 100,
    "equals": "=" * 10_000 + "\n" + "a==" * 3_000 + "\n" + ">=<~!^" * 1_000,
    "dashes": "-" * 10_000
    + "\n- - - -\n-r\n-e\n-r -r\n--hash\n-c\n-e .\n-r ../../../../etc/passwd\n-r requirements.txt\n",
    "variables": "${" * 5_000 + "\n" + "$" * 5_000 + "\n${A:-${B:-${C}}}\n",
    "heredocs": "RUN <<A <<B <<-C <<'D'\nA\nB\n" * 200,
    "urls": "https://\ngit+\ngit+https://\nhttp://[::1\n@\na @ \na @ file:\nfile:///etc/passwd\ngit+ssh://@@@@#egg=\n",
    "versions": "a==1!2!3\nb==9" + "9" * 5_000 + "\nc>=1.0.post.dev.rc\nd===x\ne~=1\nf==*\ng[x==1\nh;python_version\n"
    "torch==1.0;extra ==\ntorch[,]==1\nnumpy==1.26.0 --hash=sha256:zz\n" + "v" * 100 + "==" + "1." * 5_000 + "1\n",
    "sections": "[" + "a.b." * 3_000 + "c]\n[options]\ninstall_requires =\n\t\0\n  a\n[options.extras_require]\n =\n",
}
TEXT_PLACES = [
    "Dockerfile", "Dockerfile.dev", ".dockerignore", "Makefile", "Procfile", "requirements.txt", "constraints.txt",
    "requirements-dev.in", "pyproject.toml", "Pipfile", "Pipfile.lock", "poetry.lock", "uv.lock", "setup.cfg",
    "setup.py",
    "tox.ini", "noxfile.py", "environment.yml", "python_env.yaml", "conda-lock.yml", ".python-version", "runtime.txt",
    "package.json", "run.sh", "Jenkinsfile", "justfile", "dashboard.json", "main.tf", "README.md", ".env", "app.cfg",
    "pytest.ini", ".coveragerc", "config.json", "params.toml", "LICENSE", ".gitattributes", "supervisord.conf",
    "nginx.conf", "gunicorn.conf.py", "bentofile.yaml", "Snakefile", "model_card.md", ".dvc/config",
]  # fmt: skip


@pytest.mark.parametrize("name", TEXT_GARBAGE)
def test_garbage_in_every_file_that_is_read_is_reviewed(target: Path, name: str) -> None:
    spread(target, TEXT_PLACES, TEXT_GARBAGE[name])
    survives(target)


DOCKERFILES = {
    "heredocs": "FROM python:3.12\nRUN <<EOF\nFROM evil\nUSER root\nEOF\nCOPY <<'A' <<\"B\" /x\na\nA\nb\nB\n",
    "heredoc without end": "FROM python:3.12\nRUN <<EOF\necho\n",
    "stages in a circle": "FROM a AS b\nFROM b AS a\nFROM a AS b\nCOPY --from=b x y\nCOPY --from=99 x y\n",
    "stage of itself": "FROM x AS x\nFROM x AS x\nFROM x\n",
    "many stages": "FROM a AS s0\n" + "".join(f"FROM s{n} AS s{n + 1}\nENV A=$A$A\n" for n in range(1_500)),
    "growing variable": "FROM a\nENV A=aaaaaaaaaa\n" + "ENV A=$A$A$A$A$A$A$A$A$A$A\n" * 30,
    "growing argument": "ARG A=aaaaaaaaaa\n" + "ARG A=$A$A$A$A$A$A$A$A$A$A\n" * 30 + "FROM $A\n",
    "nested defaults": "FROM a\nENV A=" + "${A:-" * 3_000 + "}" * 3_000 + "\n",
    "deep JSON": "FROM a\nCMD " + "[" * 50_000 + "\nENTRYPOINT " + "[" * 900 + "]" * 900 + "\n",
    "ports": "FROM a\nEXPOSE ²\nEXPOSE 99999999999999999999999\nEXPOSE "
    + "9" * 10_000
    + "\nEXPOSE -1 a/b 1-2 \u0663\n",
    "nothing after the words": "FROM\nRUN\nCOPY\nCMD\nENV\nARG\nUSER\nWORKDIR\nEXPOSE\nONBUILD\nONBUILD ONBUILD\n",
    "onbuild": "FROM a\nONBUILD FROM b\nONBUILD COPY . .\nONBUILD RUN <<A\n",
    "from nothing": "FROM \\\n\n# c\n\\\n",
    "escapes": "# escape=`\nFROM a`\n b\nRUN a `\n  b\n",
    "copies from outside": 'FROM a\nCOPY ../../../etc /x\nADD / /\nCOPY ["", ""]\nCOPY \\0 \\0\nWORKDIR ../..\n',
    "globs": "FROM a\nCOPY [a-z /x\nCOPY ** /x\nCOPY *** ]] [[ /x\nCOPY [!] ? /\nADD " + "*" * 500 + "b /\n",
}


def test_strange_dockerfiles_are_reviewed(target: Path) -> None:
    spread_all(target, ["Dockerfile"], DOCKERFILES.values())
    (target / ".dockerignore").write_text("***\n[\n!\n!!a\n\\\n[a-\n" + "*" * 500 + "b\n")
    survives(target)


TOML = {
    "deep lists": "a = " + "[" * 50_000,
    "deep lists, closed": "a = " + "[" * 5_000 + "]" * 5_000,
    "deep tables": "a = " + "{a=" * 5_000,
    "dotted key": "[" + ".".join("a" * 5_000) + "]\n",
    "project a list": "project = [1]\ntool = 5\ndependency-groups = 'a'\n",
    "tool a list": "tool = [1]\n",
    "project of wrong types": "[project]\ndependencies = 5\noptional-dependencies = [1]\nrequires-python = 3\n",
    "poetry of wrong types": "[tool.poetry]\ndependencies = [1]\ngroup = 5\n[tool.poetry.x]\n",
    "poetry entries": "[tool.poetry.dependencies]\na = 5\nb = []\nc = [1]\nd = {version = 5}\ne = {git = []}\n"
    "f = '^'\ng = '~'\nh = '^a.b'\ni = '^" + "9" * 5_000 + "'\nj = {optional = 'x'}\nk = true\npython = 5\n",
    "groups": "[dependency-groups]\na = 5\nb = [5, {include-group = 'b'}, {}, []]\n",
    "ours of wrong types": "[tool.ml-engineer]\nignore = 5\n",
    "ours of entries": "[tool.ml-engineer]\nignore = [5, {}, {rule = 5}, {rule = 'MLE0506', reason = ''},"
    " {rule = 'X', path = '[', reason = 'r'}, {rule = 'X', path = '***', reason = 'r'}]\n",
    "ours a list": "[[tool.ml-engineer]]\n",
    "scripts": "[project.scripts]\na = 5\nb = ':'\nc = 'a:b:c'\n[project.entry-points.x]\ny = []\n",
    "pytest": "[tool.pytest.ini_options]\ntestpaths = 5\naddopts = [5]\nmarkers = {}\n[tool.tox]\nlegacy_tox_ini = 5\n",
    "numbers": "a = 9" + "9" * 5_000 + "\nb = 1e999999\nc = 9999-12-31T23:59:60Z\n",
}


@pytest.mark.parametrize("name", TOML)
def test_strange_toml_is_reviewed(target: Path, name: str) -> None:
    text = TOML[name]
    spread(target, ["pyproject.toml", "Pipfile", "poetry.lock", "uv.lock", "config.toml", "pdm.lock"], text)
    survives(target)


JSON = ["[" * 100_000, "[" * 900 + "]" * 900, "null", "5", '"a"', "[1, null]",
        '{"panels": 5, "scripts": [], "default": 5}',
        '{"panels": [5, {"targets": 5}, {"targets": [5, {"expr": 5}]}], "default": {"a": 5, "b": {"version": 5}}}',
        '{"scripts": {"a": 5}, "keras_version": [], "class_name": {}}', "9" * 10_000, '{"a": ' * 50_000]  # fmt: skip


def test_strange_json_is_reviewed(target: Path) -> None:
    spread_all(target, ["Pipfile.lock", "package.json", "grafana/dashboard.json", "config.json", "cdk.json"], JSON)
    survives(target)


# --- saved models -----------------------------------------------------------------------------------------------------


class Reduces:
    """Calls a function when it is loaded: here one that leaves a trace."""

    def __init__(self, canary: Path) -> None:
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[..., object], tuple[str, ...]]:
        import os

        return os.system, (f"touch {self.canary}",)


def test_a_pickle_that_would_run_a_command_is_named_and_not_loaded(target: Path) -> None:
    canary = target.parent / "canary"
    for protocol in range(6):
        (target / f"model{protocol}.pkl").write_bytes(pickle.dumps(Reduces(canary), protocol))
    with zipfile.ZipFile(target / "model.pt", "w") as archive:
        archive.writestr("archive/data.pkl", pickle.dumps(Reduces(canary)))
    assessment = survives(target)
    for name in [*(f"model{protocol}.pkl" for protocol in range(6)), "model.pt"]:
        assert "MLE0112" in findings_at(assessment, name)
    assert not canary.exists()


BOMBS = {
    "opcodes.pkl": b"\x80\x04" + b"(" * 3_000_000 + b".",
    "dup.pkl": b"\x80\x04]" + b"2" * 3_000_000 + b".",
    "tuples.pkl": b"\x80\x04)" + b"\x85" * 1_000_000 + b".",
    "lists.pkl": b"\x80\x04" + b"](" * 400_000 + b"e" * 400_000 + b".",
    "billion.pkl": b"\x80\x04]" + b"q\x00" + b"(h\x00h\x00h\x00h\x00h\x00h\x00lq\x00" * 50_000 + b".",
    "memo.pkl": b"\x80\x04]" + b"\x94" * 1_000_000 + b".",
    "length.pkl": b"\x80\x04\x8d\xff\xff\xff\xff\xff\xff\xff\x7f" + b"a" * 100,
    "negative.pkl": b"\x80\x02T\xff\xff\xff\xff.",
    "number.pkl": b"\x80\x02\x8b\xff\xff\xff\x7f" + b"9" * 1_000 + b".",
    "digits.pkl": b"I" + b"9" * 50_000 + b"\n.",
    "put.pkl": b"]p" + b"9" * 50_000 + b"\n.",
    "put2.pkl": b"]p" + "\u00b2".encode() + b"\n.",
    "line.pkl": b"c" + b"a" * 5_000_000,
    "empty.pkl": b"",
    "cut.pkl": b"\x80\x04\x95",
    "stop.pkl": b"\x80\x04.",
    "underflow.pkl": b"\x80\x04R.",
    "unmarked.pkl": b"\x80\x04t.",
    "array.pkl": b"\x80\x02cjoblib.numpy_pickle\nNumpyArrayWrapper\n)\x81}(U\x05shape(J\xff\xff\xff\x7ft"
    b"U\x05dtypecnumpy\ndtype\n(U\x02f8K\x00K\x01tRub.",
    "text.pkl": b"hello, this is no pickle\n" * 10,
    "random.joblib": bytes(range(256)) * 10,
    "gzip.pkl": b"\x1f\x8b" + b"\x00" * 50,
    "zlib.pkl": zlib.compress(b"\x80\x04" + b"N0" * 600_000 + b"\x00" * 20_000_000, 9),
    "bz.pkl": b"BZh9" + b"\x00" * 50,
    "xz.pkl": b"\xfd7zXZ\x00" + b"\x00" * 50,
    "lz4.pkl": b"\x04\x22\x4d\x18" + b"\x00" * 50,
    "zip.pt": b"PK\x03\x04" + b"\x00" * 100,
    "directory.pt": b"PK\x03\x04"
    + b"\x00" * 100
    + b"PK\x05\x06"
    + struct.pack("<HHHHLLH", 0, 0, 9, 9, 2**32 - 1, 0, 0),
    "directory64.pt": b"PK\x03\x04PK\x06\x06" + b"\xff" * 52 + b"PK\x05\x06" + b"\xff" * 18,
    "h5.h5": b"\x89HDF\r\n\x1a\n" + b"keras_version\x00" + b"\xff" * 500,
    "h5heap.h5": b"\x89HDF\r\n\x1a\nkeras_version\x00" + struct.pack("<LQL", 5, 8, 1) * 5 + b"GCOL" + b"\xff" * 90,
    "cut.h5": b"\x89HDF\r\n\x1a\nkeras_version\x00",
    "onnx.onnx": b"\xff" * 500,
    "tensors.safetensors": b"\xff" * 8 + b"{" * 500,
    "lfs.pkl": b"version https://git-lfs.github.com/spec/v1\noid sha256:" + b"\xff" * 50,
}


def test_bombs_in_saved_models_are_bounded_and_named(target: Path) -> None:
    for name, data in BOMBS.items():
        (target / name).write_bytes(data)
    assessment = survives(target)
    named = {e.path for f in assessment.findings if f.rule == UNREAD for e in f.evidence if e.kind == "quote"}
    assert {"underflow.pkl", "line.pkl", "text.pkl"} <= named


def zip_bomb(path: Path, name: str, fill: bytes, times: int) -> None:
    archive = zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1)
    with archive, archive.open(name, "w", force_zip64=True) as member:
        for _ in range(times):
            member.write(fill)


def test_zip_bombs_are_not_unfolded(target: Path) -> None:
    megabyte = b"\x00" * 1_000_000
    zip_bomb(target / "a.keras", "config.json", megabyte, 200)
    zip_bomb(target / "b.pt", "data.pkl", b"N0" * 500_000, 200)
    with zipfile.ZipFile(target / "many.pt", "w") as archive:
        for number in range(20_000):
            archive.writestr(f"{number}.pkl", b"\x80\x04N.")
    with zipfile.ZipFile(target / "names.pt", "w") as archive:
        archive.writestr("../../etc/passwd.pkl", b"\x80\x04N.")
        archive.writestr("\x1b[31m\n.pkl", b"c\x1b[31mos\nsystem\n.")
    survives(target)


@pytest.mark.parametrize("token", [" ", "{", "a.", "a:"])
def test_a_line_of_one_thing_takes_no_longer_than_it_is_long(target: Path, token: str) -> None:
    """What grows with the square of its length would take a minute here, and a day for a megabyte."""
    line = "x" + token * (30_000 // len(token)) + "!"
    cell = {"cell_type": "code", "metadata": {}, "execution_count": 1, "outputs": [], "source": line}
    (target / "n.ipynb").write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    spread(target, ["a.py", "k.yml", *TEXT_PLACES], line)
    began = time.process_time()
    survives(target)
    assert time.process_time() - began < 3
