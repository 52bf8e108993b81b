import json


def notebook(*cells):
    made = [{"cell_type": "code", "execution_count": None, "source": s, "outputs": []} for s in cells]
    return json.dumps({"cells": made, "nbformat": 4, "metadata": {}})


def test_a_name_that_only_a_later_cell_makes(check, place):
    (finding,) = check("MLE0302", {"n.ipynb": notebook("import os", "print(df.shape)", "df = os.environ")})
    assert finding.severity.value == "high"
    assert (finding.evidence[0].cell, finding.evidence[0].line_start) == (1, 1)
    assert finding.evidence[1].cell == 2
    assert "later cell" in finding.title


def test_a_name_that_no_cell_makes(check):
    (finding,) = check("MLE0302", {"n.ipynb": notebook("print(best)", "print(best + 1)")})
    assert "no cell" in finding.title
    assert len(finding.evidence) == 2


def test_a_read_in_a_function_body_is_deferred(check):
    assert check("MLE0302", {"n.ipynb": notebook("def f():\n    return x", "x = 1", "f()")}) == []


def test_scripts_belong_to_another_rule(check):
    assert check("MLE0302", {"n.ipynb": notebook("x = 1"), "a.py": "print(missing)\n"}) == []


def test_names_that_no_cell_makes_are_one_finding_and_lesser_in_documentation(check):
    cells = notebook("print(best)", "print(worst)")
    (finding,) = check("MLE0302", {"n.ipynb": cells})
    assert (finding.severity, len(finding.evidence)) == ("high", 2)


def test_fragments_in_documentation_weigh_less(check):
    (finding,) = check("MLE0302", {"docs/n.ipynb": notebook("print(best)")})
    assert finding.severity == "medium"


def test_what_python_2_had_is_told_as_that_and_once(check):
    (finding,) = check("MLE0302", {"n.ipynb": notebook("for i in xrange(3):\n    print(i)")})
    assert (finding.severity, finding.title) == ("high", "The notebook runs under Python 2 only: `xrange`")
    assert check("MLE0302", {"n.ipynb": notebook("print xrange(3)", "for i in xrange(3):\n    pass")}) == []
