import pytest

WHERE = ".github/workflows/ci.yml"
HEAD = "on: [push]\njobs:\n  test:\n    steps:\n"


@pytest.mark.parametrize("command", ["pytest tests || true", "make test || exit 0", "pytest; exit 0"])
def test_a_swallowed_failure_is_reported_at_its_line(check, place, command):
    files = {
        WHERE: HEAD + f"      - run: |\n          pip install .\n          {command}\n",
        "Makefile": "test:\n\tpytest\n",
    }
    (finding,) = check("MLE0804", files)
    assert (place(finding), finding.severity.value) == ((WHERE, 7), "high")


def test_a_failure_swallowed_inside_a_task(check, place):
    files = {WHERE: HEAD + "      - run: make test\n", "Makefile": "test:\n\tpytest || true\n"}
    (finding,) = check("MLE0804", files)
    assert place(finding) == ("Makefile", 2)


def test_continue_on_error(check, place):
    text = HEAD + "      - run: pytest\n        continue-on-error: true\n"
    (finding,) = check("MLE0804", {WHERE: text})
    assert place(finding) == (WHERE, 6)


def test_a_step_that_only_says_that_it_tests(check, place):
    text = HEAD + "      - name: Run unit tests\n        run: echo 'Running unit tests'\n"
    (finding,) = check("MLE0804", {WHERE: text})
    assert place(finding) == (WHERE, 6)
    assert "prints" in finding.title


@pytest.mark.parametrize(
    "step",
    [
        "      - run: pytest\n",
        "      - run: flake8 . || true\n",
        "      - run: |\n          mkdir x || true\n          pytest\n",
        "      - run: pytest\n        continue-on-error: ${{ matrix.experimental }}\n",
        "      - run: mkdir -p out || true && pytest\n",
        "      - name: Publish test results\n        run: echo done\n",
        "      - name: deploy\n        run: echo x\n        continue-on-error: true\n",
    ],
)
def test_other_steps_may_fail(check, step):
    assert check("MLE0804", {WHERE: HEAD + step}) == []


def test_tests_on_versions_to_come_may_fail(check):
    step = "      - run: pip install -U --pre scikit-learn\n      - run: pytest\n        continue-on-error: true\n"
    assert check("MLE0804", {WHERE: HEAD + step}) == []


def test_a_canary_may_fail(check):
    text = "on: [push]\njobs:\n  canary:\n    continue-on-error: true\n    steps:\n      - run: pytest\n"
    assert check("MLE0804", {WHERE: text}) == []
