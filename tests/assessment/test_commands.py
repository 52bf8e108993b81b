import random
import shlex
import string
import textwrap

import pytest

from ml_engineer.assessment.repo import Repo
from ml_engineer.assessment.shell import _tokens, simple


@pytest.fixture
def open_repo(tmp_path):
    def make(files):
        for path, text in files.items():
            target = tmp_path / path
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(textwrap.dedent(text))
        return Repo.open(tmp_path)

    return make


def programs(found):
    return [command.program for command in found]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("cd app && python app.py", [["cd", "app"], ["python", "app.py"]]),
        ("PORT=80 exec poetry run gunicorn app:app", [["gunicorn", "app:app"]]),
        ("bash -lc 'nohup uvicorn a:b > log 2>&1 &'", [["uvicorn", "a:b"]]),
        ("uv run --python 3.11 --with x python -m pytest -q", [["python", "-m", "pytest", "-q"]]),
        ("conda run -n env python t.py; echo done", [["python", "t.py"], ["echo", "done"]]),
        ("if [ -f x ]; then python a.py; fi", [["[", "-f", "x", "]"], ["python", "a.py"]]),
        ("timeout -s 9 60 python a.py | tee log", [["python", "a.py"], ["tee", "log"]]),
        ('echo "unclosed', [["echo", '"unclosed']]),
    ],
)
def test_shell_text_is_taken_apart(text, words):
    assert [list(command.words) for command in simple(text)] == words


def test_continuations_comments_and_heredocs():
    text = "python a.py \\\n  --x 1  # why\ncat <<EOF > f\npython not_run.py\nEOF\npython b.py\n"
    assert [c.words[:2] for c in simple(text)] == [("python", "a.py"), ("cat",), ("python", "b.py")]


def test_make_is_followed_through_variables_needs_and_scripts(open_repo):
    repo = open_repo(
        {
            "Makefile": "PY = python3\nall: test\nlint:\n\truff check\ntest: lint\n\t@$(PY) -m pytest \\\n"
            "\t\ttests\n\tbash scripts/e2e.sh\n",
            "scripts/e2e.sh": "#!/bin/sh\npython train.py --fast\n",
            "train.py": "print()\n",
            ".github/workflows/ci.yml": "on: push\njobs:\n  t:\n    runs-on: x\n    steps:\n      - run: make\n",
        }
    )
    (entry,) = repo.commands.of("ci")
    assert set(programs(repo.commands.expand(entry))) == {"make", "ruff", "pytest", "bash", "python"}
    assert [c.site.line for c in repo.commands.expand(entry) if c.program == "pytest"] == [6]
    assert {c.origin for c in repo.commands.starts("train.py")} == {"shell-script"}


@pytest.mark.parametrize(
    ("files", "command"),
    [
        ({"tox.ini": "[testenv]\ncommands =\n    pytest {posargs:tests}\n"}, "tox -e py311"),
        ({"tox.ini": "[testenv:unit]\ncommands = pytest\n"}, "tox -e unit"),
        (
            {"noxfile.py": "import nox\n@nox.session\ndef tests(session):\n    session.run('pytest', '-q')\n"},
            "nox -s tests",
        ),
        ({"package.json": '{"scripts": {"test": "pytest"}}'}, "npm test"),
        ({"justfile": "check: \n  ruff check\ntest arg='x': check\n  pytest {{arg}}\n"}, "just test"),
        ({"pyproject.toml": "[tool.poe.tasks]\ntest = {cmd = 'pytest'}\n"}, "poetry run poe test"),
        ({"pyproject.toml": "[tool.hatch.envs.default.scripts]\ncov = ['pytest --cov']\n"}, "hatch run cov"),
        ({"Taskfile.yml": "tasks:\n  test:\n    cmds:\n      - pytest\n"}, "task test"),
        ({"tasks.py": "from invoke import task\n@task\ndef test(c):\n    c.run('pytest -x')\n"}, "inv test"),
        ({"mise.toml": "[tasks.test]\nrun = 'pytest'\n"}, "mise run test"),
        ({"Makefile": "a:\n\t$(MAKE) -C sub t\n", "sub/Makefile": "t:\n\tpytest\n"}, "make a"),
    ],
)
def test_each_task_runner_leads_to_pytest(open_repo, files, command):
    repo = open_repo({**files, "Procfile": f"web: {command}\n"})
    (start,) = repo.commands.of("procfile")
    assert "pytest" in programs(repo.commands.expand(start))


def test_endless_tasks_end(open_repo):
    repo = open_repo({"Makefile": "a: b\n\tmake b\nb: a\n\tmake a\n", "Procfile": "w: make a\n"})
    (start,) = repo.commands.of("procfile")
    assert 1 < len(repo.commands.expand(start)) < 20


@pytest.mark.parametrize(
    ("command", "path"),
    [
        ("python src/app.py", "src/app.py"),
        ("python -m pkg.serve", "pkg/serve.py"),
        ("gunicorn -w 4 pkg.serve:app", "pkg/serve.py"),
        ("gunicorn --chdir src app:create_app()", "src/app.py"),
        ("uvicorn src.app:app --port 80", "src/app.py"),
        ("streamlit run src/app.py --server.port 80", "src/app.py"),
        ("FLASK_APP=src/app.py flask run", "src/app.py"),
        ("flask --app src.app run", "src/app.py"),
        ("torchrun --nproc_per_node 2 src/app.py", "src/app.py"),
        ("python -m torch.distributed.launch --nproc 2 src/app.py", "src/app.py"),
        ("serve-it --port 1", "pkg/serve.py"),
        ("python -c 'import src.app'", None),
        ("python $SCRIPT", None),
        ("gunicorn other:app", None),
    ],
)
def test_what_a_start_command_runs(open_repo, command, path):
    repo = open_repo(
        {
            "Procfile": f"web: {command}\n",
            "src/app.py": "",
            "pkg/serve.py": "",
            "pkg/__init__.py": "",
            "pyproject.toml": "[project.scripts]\nserve-it = 'pkg.serve:main'\n",
        }
    )
    (start,) = repo.commands.of("procfile")
    assert repo.commands.runs(start) == ([path] if path else [])


def test_a_path_in_an_image_is_found_through_copy(open_repo):
    repo = open_repo(
        {
            "svc/Dockerfile": "FROM python:3.11\nENV A=1\nWORKDIR /srv\nCOPY code/ ./lib/\n"
            "RUN pip install x && \\\n    echo\n"
            'ENTRYPOINT ["python"]\nCMD ["lib/main.py", "--fast"]\n',
            "svc/code/main.py": "",
            "main.py": "",
            "docker-compose.yml": "services:\n  a:\n    build: svc\n",
        }
    )
    (start,) = repo.commands.of("docker-cmd")
    assert start.words == ("python", "lib/main.py", "--fast")
    assert start.env == {"A": "1"}
    assert repo.commands.runs(start) == ["svc/code/main.py"]
    assert [c.program for c in repo.commands.of("docker-run")] == ["pip", "echo"]


def test_readme_blocks_are_read_and_prose_is_not(open_repo):
    repo = open_repo(
        {
            "README.md": "Run python prose.py\n```bash\n$ python a.py \\\n    --x 1\n(out put)\n```\n```python\n"
            "python = 1\n```\n",
            "a.py": "",
        }
    )
    (found,) = repo.commands.of("readme")
    assert (found.words, found.site.line) == (("python", "a.py", "--x", "1"), 3)


def test_compose_and_kubernetes_commands(open_repo):
    repo = open_repo(
        {
            "docker-compose.yml": "services:\n  web:\n    image: x\n    environment:\n      - PORT=1\n"
            "    command: sh -c 'gunicorn app:app'\n",
            "k8s/d.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: x}\nspec:\n  template:\n"
            "    spec:\n      containers:\n"
            "        - name: c\n          image: x\n          command: [python]\n          args: [app.py]\n",
            "app.py": "",
        }
    )
    assert [(c.origin, c.words) for c in repo.commands.of("compose", "kubernetes")] == [
        ("compose", ("gunicorn", "app:app")),
        ("kubernetes", ("python", "app.py")),
    ]


def test_plain_text_is_split_as_a_shell_lexer_splits_it() -> None:
    letters = string.ascii_letters + string.digits + string.punctuation + " \t"
    choose = random.Random(1)
    for _ in range(2_000):
        text = "".join(choose.choices(letters, k=choose.randint(0, 6)))
        lexer = shlex.shlex(text, posix=True, punctuation_chars="();<>|&")
        lexer.whitespace_split, lexer.commenters = True, ""
        try:
            wanted = list(lexer)
        except ValueError:
            wanted = text.split()
        assert _tokens(text) == wanted, text
