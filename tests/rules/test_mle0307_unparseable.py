import json

import pytest


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("x = 1\nprint 'hello'\n", "Python 2", 2),
        ("try:\n    pass\nexcept ValueError, e:\n    pass\n", "Python 2", 3),
        ("import os\n%matplotlib inline\n", "magic", 2),
        ("!pip install numpy\n", "magic", 1),
        ("x = 1\n<<<<<<< HEAD\ny = 1\n=======\ny = 2\n>>>>>>> main\n", "merge", 2),
        ("def f(:\n    pass\n", "", 1),
    ],
)
def test_a_file_that_python_refuses_is_high(check, place, text, words, line):
    (finding,) = check("MLE0307", {"a.py": text})
    assert finding.severity.value == "high"
    assert words in finding.title
    assert place(finding) == ("a.py", line)


@pytest.mark.parametrize(
    "text",
    [
        "name = {{ cookiecutter.name }}\n",
        "{% if x %}\nimport a\n{% endif %}\n",
        "type Pair = tuple[int, int]\n",
        "def first[T](items: list[T]) -> T:\n    return items[0]\n",
        "print(f'{d['key']}')\n",
    ],
)
def test_templates_and_newer_python_are_silent(check, text):
    assert check("MLE0307", {"a.py": text}) == []


def test_a_template_folder_and_broken_test_data_are_silent(check):
    assert check("MLE0307", {"{{name}}/a.py": "def f(:\n", "tests/data/bad.py": "def f(:\n"}) == []


def notebook(source, count):
    cell = {"cell_type": "code", "execution_count": count, "source": source, "outputs": []}
    return json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}})


def test_a_broken_cell_that_ran_is_high_and_one_that_never_ran_is_low(check):
    (ran,) = check("MLE0307", {"n.ipynb": notebook("print 'x'", 3)})
    assert ran.severity.value == "high"
    (idle,) = check("MLE0307", {"n.ipynb": notebook("fill this in", None)})
    assert idle.severity.value == "low"


def test_magics_in_a_notebook_are_its_own_language(check):
    assert check("MLE0307", {"n.ipynb": notebook("%matplotlib inline\n!ls", 1)}) == []


def test_a_broken_notebook_and_broken_yaml_are_high(check):
    findings = check("MLE0307", {"n.ipynb": "{not json", "k8s/a.yaml": "a: [1, 2\nb: }\n"})
    assert {f.evidence[0].path for f in findings} == {"n.ipynb", "k8s/a.yaml"}
    assert {f.severity.value for f in findings} == {"high"}


def test_a_percent_sign_below_a_text_in_brackets_is_no_magic(check):
    def notebook(source):
        cell = {"cell_type": "code", "execution_count": 1, "source": source, "outputs": []}
        return json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}})

    assert check("MLE0307", {"a.ipynb": notebook("print('%s of %s'\n      % (1, 2))\n")}) == []
    assert check("MLE0307", {"a.ipynb": notebook("% matplotlib inline\nx = 1\n")}) == []
    assert len(check("MLE0307", {"a.ipynb": notebook("%matplotlib inline\nx = (1\n")})) == 1


def test_pip_runs_in_a_cell_without_a_sign_before_it(check):
    def notebook(source):
        cell = {"cell_type": "code", "execution_count": 1, "source": source, "outputs": []}
        return json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}})

    assert check("MLE0307", {"a.ipynb": notebook("pip install scikit-uplift lightgbm -U")}) == []
    assert len(check("MLE0307", {"a.ipynb": notebook("pip scikit-uplift lightgbm")})) == 1


def test_files_of_python2_are_one_finding_and_reviewed_by_the_other_rules(check):
    files = {
        "a.py": "import torch\nmodel = torch.load('m.pt')\nprint 'loaded'\n",
        "b.py": "for i in xrange(3):\n    print i\n",
    }
    (finding,) = check("MLE0307", files)
    assert [e.path for e in finding.evidence] == ["a.py", "b.py"]
    assert check("MLE0501", files)
    assert check("MLE0306", files) == []


def test_settings_of_the_pages_alone_are_medium(check):
    found = check("MLE0307", {"_config.yml": "a: b: c\n", "params.yml": "a: b: c\n"})
    assert sorted((f.evidence[0].path, f.severity.value) for f in found) == [
        ("_config.yml", "medium"),
        ("params.yml", "high"),
    ]


def test_utf_16_is_no_python(check, place):
    (finding,) = check("MLE0307", {"pkg/__init__.py": "x = 1\n".encode("utf-16")})
    assert (place(finding), finding.severity.value) == (("pkg/__init__.py", 1), "high")


def test_a_line_of_the_shell_in_a_cell_needs_no_sign(check):
    def notebook(line):
        cell = {"cell_type": "code", "source": [line], "outputs": [], "execution_count": 1, "metadata": {}}
        return json.dumps({"cells": [cell], "nbformat": 4, "nbformat_minor": 5, "metadata": {}})

    assert check("MLE0307", {"a.ipynb": notebook('ls "/tmp/train" ')}) == []
    assert len(check("MLE0307", {"a.ipynb": notebook("ls = = 3")})) == 1


def test_copies_of_a_broken_file_are_one_finding(check):
    text = "repos:\n-   a: 1\n      -   b: 2\n"
    (finding,) = check("MLE0307", {"a/.pre-commit-config.yaml": text, "b/.pre-commit-config.yaml": text})
    assert finding.severity.value == "medium"
    assert len(finding.evidence) == 2


def test_a_field_without_an_expression_is_an_error_in_any_python(check):
    assert len(check("MLE0307", {"a.py": "name = f'{}_a'.format(1)\n"})) == 1
    assert check("MLE0307", {"a.py": "name = f'{d['k']}_a'\n"}) == []


def test_async_as_a_name_where_the_pins_allow_an_older_python(check):
    files = {"a.py": "x = x.cuda(async=True)\n", "b.py": "y = y.cuda(0, async=True)\n"}
    (finding,) = check("MLE0307", files)
    assert (finding.severity.value, len(finding.evidence)) == ("high", 2)
    (finding,) = check("MLE0307", {**files, "requirements.txt": "torch==0.4.0\n"})
    assert finding.severity.value == "medium"
