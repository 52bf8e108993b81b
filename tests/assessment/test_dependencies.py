import textwrap

import pytest
from hypothesis import given
from hypothesis import strategies as st
from packaging.specifiers import SpecifierSet
from packaging.version import Version

from ml_engineer.assessment.declarations import poetry_specifier
from ml_engineer.assessment.dependencies import allows_below, allows_from
from ml_engineer.assessment.distributions import is_standard, providers
from ml_engineer.assessment.repo import Repo


@pytest.fixture
def declare(tmp_path):
    def make(files):
        for path, text in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text))
        return Repo.open(tmp_path).dependencies

    return make


def short(found):
    return [(d.name, d.specifier, d.source.line) for d in found]


def test_requirements_in_every_spelling(declare):
    found = declare(
        {
            "REQUIREMENTS.TXT": """\
            # a comment
            -r more.txt
            torch == 1.8.0   # spaced
            Scikit_Learn[extra]>=1.0 ; python_version < "3.9"
            git+https://github.com/huggingface/peft.git@main
            -e git+https://example.org/x/y.git#egg=My.Package
            https://example.org/whl/torchvision-0.9.0%2Bcpu-cp38-cp38-linux_x86_64.whl
            numpy=1.19.2=py38h54aff64_0
            -e .
            not a requirement at all!
            """,
            "more.txt": "pandas\n",
        }
    ).declared
    assert sorted(short(found)) == [
        ("my-package", "", 6),
        ("numpy", "==1.19.2", 8),
        ("pandas", "", 1),
        ("peft", "", 5),
        ("scikit-learn", ">=1.0", 4),
        ("torch", "== 1.8.0", 3),
        ("torchvision", "==0.9.0+cpu", 7),
    ]
    by_name = {d.name: d for d in found}
    assert by_name["peft"].url == "git+https://github.com/huggingface/peft.git@main"
    assert by_name["scikit-learn"].marker == 'python_version < "3.9"'
    assert by_name["scikit-learn"].source.quote.startswith("Scikit_Learn")


def test_a_hashed_file_is_a_lock(declare):
    found = declare(
        {
            "requirements.in": "numpy\n",
            "requirements.txt": "numpy==1.26.4 \\\n    --hash=sha256:aa \\\n    --hash=sha256:bb\n"
            "    # via -r requirements.in\n",
        }
    )
    assert found.locked("numpy") == Version("1.26.4")
    assert [f.path for f in found.lock_files] == ["requirements.txt"]
    assert found.may_be_at_least("numpy", "2") is False


def test_pyproject_tables_each_with_line_and_group(declare):
    found = declare(
        {
            "pyproject.toml": """\
            [project]
            requires-python = ">=3.9,<3.12"
            dependencies = [
              "torch>=2.0",
            ]
            [project.optional-dependencies]
            viz = ["matplotlib"]
            [dependency-groups]
            dev = ["pytest>=8", {include-group = "x"}]
            [tool.poetry.dependencies]
            python = "^3.9"
            fastapi = "^0.100"
            uvicorn = {version = "~0.20", extras = ["standard"]}
            fork = {git = "https://example.org/fork.git", rev = "abc"}
            [tool.poetry.group.test.dependencies]
            hypothesis = "*"
            """
        }
    )
    assert [(d.name, d.specifier, d.source.line, d.group) for d in found.declared] == [
        ("torch", ">=2.0", 4, ""),
        ("matplotlib", "", 7, "viz"),
        ("pytest", ">=8", 9, "dev"),
        ("fastapi", ">=0.100,<0.101", 12, ""),
        ("uvicorn", ">=0.20,<0.21", 13, ""),
        ("fork", "", 14, ""),
        ("hypothesis", "", 16, "test"),
    ]
    assert found.of("fork")[0].url == "git+https://example.org/fork.git@abc"
    assert [(p.specifier, p.kind, p.source.line) for p in found.pythons] == [
        (">=3.9,<3.12", "requires-python", 2),
        ("^3.9", "poetry", 11),
    ]


def test_conda_names_and_pins_become_those_of_python(declare):
    found = declare(
        {
            "env.yml": """\
            name: x
            channels: [pytorch]
            dependencies:
              - python=3.7
              - pytorch::pytorch=1.8.0
              - numpy=1.19.2=py37_0
              - cudatoolkit=11
              - scikit-learn >=0.24
              - pip
              - pip:
                - transformers==4.5.1
                - -r other.txt
            prefix: /x
            """
        }
    )
    assert short(found.declared) == [
        ("torch", "==1.8.0.*", 5),
        ("numpy", "==1.19.2", 6),
        ("scikit-learn", ">=0.24", 8),
        ("transformers", "==4.5.1", 11),
    ]
    assert [p.specifier for p in found.pythons] == ["==3.7.*"]


def test_setup_files_pipfile_docker_and_notebook(declare):
    found = declare(
        {
            "setup.py": 'from setuptools import setup\nBASE = ["flask==1.0"]\nsetup(\n'
            '  install_requires=BASE + ["boto3"],\n'
            '  extras_require={"gpu": ["cupy"]},\n  python_requires=">=3.6",\n)\n',
            "setup.cfg": "[options]\ninstall_requires =\n    requests>=2\n    six\n[other]\nx = y\n",
            "Pipfile": '[packages]\nxgboost = "==1.7.0"\n[requires]\npython_version = "3.8"\n',
            "Dockerfile": "FROM python:3.10-slim\nRUN pip install --no-cache-dir \\\n    numpy==1.24.4 \\\n"
            "    'dill>=0.3' && \\\n"
            "    pip install -r deps/serve.txt\n",
            "deps/serve.txt": "gunicorn==20.0\n",
            "a.ipynb": '{"cells": [{"cell_type": "code", "source": ["!pip install -q shap==0.41 lime\\n'
            '"], "outputs": []}], '
            '"nbformat": 4, "metadata": {}}',
        }
    )
    assert {(d.name, d.specifier, d.kind, d.source.line) for d in found.declared} == {
        ("flask", "==1.0", "setup.py", 2),
        ("boto3", "", "setup.py", 4),
        ("cupy", "", "setup.py", 5),
        ("requests", ">=2", "setup.cfg", 3),
        ("six", "", "setup.cfg", 4),
        ("xgboost", "==1.7.0", "pipfile", 2),
        ("numpy", "==1.24.4", "dockerfile", 3),
        ("dill", ">=0.3", "dockerfile", 4),
        ("gunicorn", "==20.0", "requirements", 1),
        ("shap", "==0.41", "notebook", 1),
        ("lime", "", "notebook", 1),
    }
    assert {(p.kind, p.specifier) for p in found.pythons} == {
        ("requires-python", ">=3.6"),
        ("pipfile", "3.8"),
        ("dockerfile", "3.10"),
    }


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("poetry.lock", '[[package]]\nname = "Torch"\nversion = "2.1.0"\n[package.dependencies]\nname = "x"\n'),
        ("uv.lock", 'version = 1\n[[package]]\nname = "torch"\nversion = "2.1.0"\n'),
        ("Pipfile.lock", '{"default": {\n "torch": {"version": "==2.1.0"}}}'),
        ("conda-lock.yml", "package:\n- name: pytorch\n  version: 2.1.0\n  manager: conda\n"),
    ],
)
def test_locks(declare, path, text):
    found = declare({path: text, "requirements.txt": "torch>=1\n"})
    assert found.locked("torch") == Version("2.1.0")
    assert found.may_be_below("torch", "2.1") is False
    assert found.may_be_at_least("torch", "2.6") is False


@pytest.mark.parametrize(
    ("specifier", "below", "at_least"),
    [
        ("", True, True),
        ("==1.8.0", True, False),
        ("==2.6.0", False, True),
        (">=1.7", True, True),
        ("<2", True, False),
        ("<=2.6", True, True),
        ("<2.6", True, False),
        (">2.6", False, True),
        ("~=2.6.1", False, True),
        ("==2.*", True, True),
        ("==2.5.*", True, False),
        (">=2.5.1,<2.6", True, False),
    ],
)
def test_what_a_condition_allows(specifier, below, at_least):
    assert allows_below(SpecifierSet(specifier), "2.6") is below
    assert allows_from(SpecifierSet(specifier), "2.6") is at_least


@given(
    st.integers(0, 5), st.integers(0, 9), st.integers(0, 5), st.integers(0, 9), st.sampled_from("== >= <= > <".split())
)
def test_a_bound_is_judged_as_a_version_beside_it_would_be(major, minor, other_major, other_minor, operator):
    spec, limit = SpecifierSet(f"{operator}{major}.{minor}"), f"{other_major}.{other_minor}"
    around = [Version(f"{a}.{b}{c}") for a in range(7) for b in range(11) for c in ("", ".5")]
    if any(v < Version(limit) and spec.contains(v) for v in around):
        assert allows_below(spec, limit)
    if any(v >= Version(limit) and spec.contains(v) for v in around):
        assert allows_from(spec, limit)
    if operator in ("==", "<", "<=") and Version(f"{major}.{minor}") < Version(limit):
        assert not allows_from(spec, limit)
    if operator in ("==", ">", ">=") and Version(f"{major}.{minor}") >= Version(limit):
        assert not allows_below(spec, limit)


def test_the_environment_of_the_nearest_folder_wins(declare):
    found = declare({"requirements.txt": "torch==1.8\n", "serve/requirements.txt": "torch==2.7\n"})
    assert found.may_be_below("torch", "2.6") is True
    assert found.may_be_below("torch", "2.6", near="serve/app.py") is False
    assert found.may_be_below("torch", "2.6", near="train/deep/fit.py") is True
    assert found.may_be_below("tensorflow", "2") is None
    assert found.pinned("torch") is None
    assert found.pinned("torch", near="serve/app.py") == Version("2.7")


def test_python_of_ci_matrix_and_image(declare):
    found = declare(
        {
            ".github/workflows/a.yml": "jobs:\n  t:\n    strategy:\n      matrix:\n"
            "        python-version: ['3.8', \"3.10\"]\n"
            "    steps:\n      - uses: actions/setup-python@v5\n        with:\n"
            "          python-version: ${{ matrix.python-version }}\n",
            "Dockerfile": "ARG V=3.11\nFROM docker.io/library/python:${V}-slim\n",
            ".python-version": "3.12.1\n",
        }
    )
    assert [(p.specifier, p.kind) for p in found.pythons] == [
        ("3.8", "ci"),
        ("3.10", "ci"),
        ("3.12.1", ".python-version"),
        ("3.11", "dockerfile"),
    ]


def test_broken_files_are_survived(declare):
    found = declare(
        {
            "pyproject.toml": "[project\n",
            "Pipfile": "x",
            "Pipfile.lock": "{",
            "setup.py": "def (",
            "environment.yml": "dependencies:\n  - [\n  - numpy\n",
            "requirements.txt": "{{ cookiecutter.x }}\n==\n\x00\n",
        }
    )
    assert short(found.declared) == [("numpy", "", 3)]


def test_poetry_conditions():
    assert poetry_specifier("^1.2.3") == ">=1.2.3,<2"
    assert poetry_specifier("^0.0.3") == ">=0.0.3,<0.0.4"
    assert poetry_specifier("~1") == ">=1,<2"
    assert poetry_specifier(">=3.8,<3.11") == ">=3.8,<3.11"
    assert poetry_specifier("^1 || ^2") is None


def test_import_names():
    assert providers("cv2")[0] == "opencv-python"
    assert providers("google.cloud.storage.Client") == ("google-cloud-storage",)
    assert providers("sentence_transformers")[0] == "sentence-transformers"
    assert is_standard("os") and is_standard("distutils") and not is_standard("yaml")


def test_a_script_that_sets_up_the_environment_declares_what_it_installs(tmp_path):
    (tmp_path / "setup_env.sh").write_text("#!/bin/bash\n# pip install wheel\npip3 install -q torch==1.5.1 -f x.html\n")
    (tmp_path / "requirements.txt").write_text("flask\n")
    dependencies = Repo.open(tmp_path).dependencies
    assert [(d.name, d.specifier) for d in dependencies.declared] == [("flask", ""), ("torch", "==1.5.1")]
    assert dependencies.declared_in_files == {"flask"}


def test_a_script_with_the_magics_of_a_notebook_is_read_but_for_them(tmp_path):
    (tmp_path / "boot.py").write_text("!pip install flask==3.0\nimport json\nprint(json.dumps({}))\n%time\n")
    repo = Repo.open(tmp_path)
    module = repo.by_path["boot.py"]
    assert module.source.errors
    assert [call.name for call in module.calls] == ["print", "json.dumps"]
    assert [(d.name, d.kind) for d in repo.dependencies.declared] == [("flask", "notebook")]


def test_extras_that_a_setup_py_adds_one_by_one(tmp_path):
    code = "from setuptools import setup\nextras = {}\nextras['st'] = ['torch==2.1']\nsetup(extras_require=extras)\n"
    (tmp_path / "setup.py").write_text(code)
    (declared,) = Repo.open(tmp_path).dependencies.of("torch")
    assert (declared.specifier, declared.group, declared.source.line) == ("==2.1", "st", 3)


@pytest.mark.parametrize("table", ["dict(install_requires=needs)", "{'name': 'x', 'install_requires': needs}"])
def test_the_settings_of_a_setup_py_may_stand_in_a_table(tmp_path, table):
    code = f"from setuptools import setup\nneeds = ['torch<2']\nsettings = {table}\nsetup(**settings)\n"
    (tmp_path / "setup.py").write_text(code)
    assert short(Repo.open(tmp_path).dependencies.of("torch")) == [("torch", "<2", 2)]


def test_lists_of_packages_in_a_folder_of_dependencies(tmp_path):
    (tmp_path / "deps").mkdir()
    (tmp_path / "deps/serve.txt").write_text("flask\n")
    (tmp_path / "notes.txt").write_text("buy milk\n")
    assert [d.name for d in Repo.open(tmp_path).dependencies.declared] == ["flask"]


def test_requirements_of_a_purpose_that_a_makefile_installs(declare):
    dependencies = declare(
        {"requirements.prod": "torch==2.1\n", "Makefile": "a:\n\tpip install -r requirements.prod\n"}
    )
    assert short(dependencies.of("torch")) == [("torch", "==2.1", 1)]


def test_extras_that_depend_on_the_system(tmp_path):
    listed = "['a'] + (['onnxruntime-gpu<=1.13'] if sys.platform != 'darwin' else ['onnxruntime<=1.13'])"
    code = f"import sys\nfrom setuptools import setup\nsetup(extras_require={{'onnx': {listed}}})\n"
    (tmp_path / "setup.py").write_text(code)
    assert short(Repo.open(tmp_path).dependencies.of("onnxruntime")) == [("onnxruntime", "<=1.13", 3)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("settings.ini", "[DEFAULT]\nlib_name = x\nrequirements = pandas torch>=2.1\ndev_requirements = nbdev\n"),
        ("bentofile.yaml", "service: a:svc\npython:\n  packages:\n    - torch>=2.1\n"),
        ("service.py", "import bentoml\nimage = bentoml.images.Image().python_packages('torch>=2.1')\n"),
    ],
)
def test_settings_of_single_tools_declare(declare, path, text):
    dependencies = declare({path: text})
    assert [(d.specifier, d.environment) for d in dependencies.of("torch")] == [(">=2.1", path)]
    assert [file.path for file in dependencies.files] == [path]
