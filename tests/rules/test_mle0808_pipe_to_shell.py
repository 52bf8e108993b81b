import pytest

WHERE = ".github/workflows/ci.yml"
HEAD = "on: push\njobs:\n  a:\n    steps:\n      - run: |\n          ls\n          "


@pytest.mark.parametrize(
    "command",
    [
        "curl -sSL https://example.org/i.sh | bash",
        "curl -sSL https://example.org/i.py | python3 -",
        "curl -sSL https://example.org/get-poetry.py | POETRY_HOME=/opt/poetry python -",
        "wget -qO- https://example.org/i.sh | sudo sh",
        "bash <(curl -s https://codecov.io/bash)",
        'sh -c "$(curl -fsSL https://example.org/i.sh)"',
    ],
)
def test_a_piped_script_in_ci_is_reported_at_its_line(check, place, command):
    (finding,) = check("MLE0808", {WHERE: HEAD + command + "\n"})
    assert place(finding) == (WHERE, 7)


def test_one_in_a_dockerfile_is_reported_at_its_line(check, place):
    text = "FROM python:3.12\nRUN apt-get update \\\n && curl -sS https://example.org/get-pip.py | python3\n"
    (finding,) = check("MLE0808", {"Dockerfile": text})
    assert place(finding) == ("Dockerfile", 3)


@pytest.mark.parametrize(
    "command",
    [
        "curl -sSL https://example.org/x.json | jq .a",
        "curl -o i.sh https://example.org/i.sh",
        "curl -s https://example.org/a | tar xz",
        "curl https://example.org/i.sh | tee i.sh; sha256sum -c i.sum && curl https://example.org/i.sh | sh",
    ],
)
def test_other_pipes_are_fine(check, command):
    assert check("MLE0808", {WHERE: HEAD + command + "\n"}) == []
