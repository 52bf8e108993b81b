"""Dockerfiles: instructions, stages, contexts."""

import textwrap

from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.assessment.buildcontext import Ignore, ignore_of
from ml_engineer.assessment.docker import parse_dockerfile, parse_image
from ml_engineer.assessment.files import File
from ml_engineer.assessment.repo import Repo


def docker(text):
    file = File(None, "Dockerfile", 1)
    file.text = textwrap.dedent(text)
    return parse_dockerfile(file)


def write(tmp_path, files):
    for path, text in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
    return Repo.open(tmp_path)


def test_continuations_comments_and_lower_case():
    found = docker(
        """\
        # build
        from python:3.11-slim
        run apt-get update && \\
            # a comment inside

            apt-get install -y curl
        cmd python app.py
        """
    )
    run, cmd = found.final.instructions
    assert (run.keyword, run.line, run.line_end) == ("RUN", 3, 6)
    assert run.value == "apt-get update && apt-get install -y curl"
    assert found.final.start_words == ("python", "app.py")
    assert (cmd.line, found.problems) == (7, [])


def test_arguments_and_environment_are_filled_in():
    found = docker(
        """\
        ARG TAG=3.9
        FROM registry:5000/lib/python:${TAG}-slim AS base
        ARG PORT
        ENV APP_PORT=8080 HOME="/srv/my app"
        WORKDIR srv
        WORKDIR app
        EXPOSE ${APP_PORT}/tcp ${PORT}
        COPY a.txt .
        """
    )
    image = found.final.image
    assert (image.name, image.tag, image.base) == ("registry:5000/lib/python", "3.9-slim", "python")
    assert [number for number, _ in found.final.ports] == [8080]
    assert found.final.workdir == "/srv/app"
    assert found.final.copies[0].destination == "/srv/app"
    assert found.final.env["HOME"] == "/srv/my app"


def test_a_stage_inherits_from_the_one_it_is_built_upon():
    found = docker(
        """\
        FROM python:3.11 AS base
        USER app
        WORKDIR /srv
        CMD ["python", "a.py"]
        FROM node:20 AS other
        FROM base
        COPY --from=other /x /y
        """
    )
    assert [s.name for s in found.stages] == ["base", "other", ""]
    assert found.final.image.text == "python:3.11"
    assert found.final.user.words == ("app",)
    assert found.final.start_words == ("python", "a.py")
    assert found.final.copies[0].stage == "other"


def test_entrypoint_and_cmd_are_put_together():
    assert docker('FROM a\nENTRYPOINT ["gunicorn"]\nCMD ["app:app"]\n').final.start_words == ("gunicorn", "app:app")
    assert docker('FROM a\nENTRYPOINT gunicorn\nCMD ["app:app"]\n').final.start_words == ("gunicorn",)


def test_heredocs_belong_to_their_instruction():
    found = docker("FROM a\nRUN <<EOF\npip install x\nFROM nothing\nEOF\nCOPY <<-F /etc/x\n\ta\n\tF\nUSER 1\n")
    run, copy, user = found.final.instructions
    assert "pip install x" in run.script
    assert (run.line, run.line_end, copy.line_end, user.line) == (2, 5, 8, 9)
    assert len(found.stages) == 1


def test_an_unclosed_heredoc_is_left_to_the_shell():
    found = docker("FROM a\nRUN cat <<EOF > x\nUSER 1\n")
    assert [i.keyword for i in found.final.instructions] == ["RUN", "USER"]


def test_what_is_no_instruction_is_a_problem_at_its_line():
    assert docker("FROM a\nPIP install x\n").problems == [(2, "unknown instruction PIP")]
    assert docker("RUN x\n").problems[0][0] == 1


def test_image_references():
    assert parse_image("localhost:5000/a") == parse_image("localhost:5000/a")
    assert (parse_image("localhost:5000/a").name, parse_image("localhost:5000/a").tag) == ("localhost:5000/a", "")
    assert parse_image("a:1@sha256:ab").digest == "sha256:ab"


def test_the_context_is_what_compose_and_commands_say(tmp_path):
    repo = write(
        tmp_path,
        {
            "docker/api/Dockerfile": "FROM python:3.11\n",
            "docker/web/Dockerfile": "FROM python:3.11\n",
            "job/Dockerfile": "FROM python:3.11\n",
            "notes/Dockerfile.md": "FROM python:3.11\n",
            "docker-compose.yml": "services:\n  api:\n    build: {context: ., dockerfile: docker/api/Dockerfile}\n",
            "Makefile": "image:\n\tcd docker && docker build -t x:latest -f web/Dockerfile web\n",
        },
    )
    contexts = {d.path: (d.contexts, d.context_known) for d in repo.dockerfiles}
    assert contexts == {
        "docker/api/Dockerfile": (("",), True),
        "docker/web/Dockerfile": (("docker/web",), True),
        "job/Dockerfile": (("job", ""), False),
    }


def test_dockerignore_is_anchored_and_the_last_match_wins(tmp_path):
    ignore = Ignore(["# comment", "*.csv", "data", "!data/keep.json", "**/*.pyc", "/logs/"])
    assert ignore.excludes("a.csv")
    assert not ignore.excludes("sub/a.csv")
    assert ignore.excludes("data/raw/x.json")
    assert not ignore.excludes("data/keep.json")
    assert ignore.excludes("a/b/c.pyc")
    assert ignore.excludes("logs/x")
    repo = write(tmp_path, {"Dockerfile": "FROM a\n", ".dockerignore": "x\n"})
    assert ignore_of(repo, repo.dockerfiles[0], "").excludes("x")


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("FROMRUNCOPYaA \n\\#<${}[]\"'=:-0/EOF\t"), max_size=80))
def test_no_text_makes_the_parser_fail(text):
    found = docker("FROM a AS b\n" + text)
    assert all(i.line <= i.line_end for i in found.instructions)
    for stage in found.stages:
        assert isinstance(stage.start_words, tuple)
        assert isinstance(stage.copies, list)


def test_a_block_of_a_template_needs_no_base_of_its_own(tmp_path):
    (tmp_path / "Dockerfile.template").write_text("{% extends base %}\n{% block a %}\nLABEL x=y\n{% endblock %}\n")
    (tmp_path / "Dockerfile").write_text("LABEL x=y\n")
    assert [d.file.path for d in Repo.open(tmp_path).dockerfiles] == ["Dockerfile"]
