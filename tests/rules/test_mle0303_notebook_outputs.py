import json


def notebook(outputs):
    cell = {"cell_type": "code", "execution_count": 1, "source": "f()", "outputs": outputs}
    return json.dumps({"cells": [cell], "nbformat": 4, "metadata": {}})


def test_a_stored_traceback_is_medium(check):
    (finding,) = check("MLE0303", {"n.ipynb": notebook([{"output_type": "error", "ename": "KeyError"}])})
    assert finding.severity.value == "medium"
    assert "KeyError" in finding.title


def test_an_interrupt_is_the_authors_own_hand(check):
    assert check("MLE0303", {"n.ipynb": notebook([{"output_type": "error", "ename": "KeyboardInterrupt"}])}) == []


def test_large_outputs_are_low(check):
    picture = {"output_type": "display_data", "data": {"image/png": "A" * 1_100_000}}
    (finding,) = check("MLE0303", {"n.ipynb": notebook([picture])})
    assert finding.severity.value == "low"


def test_small_outputs_are_silent(check):
    assert check("MLE0303", {"n.ipynb": notebook([{"output_type": "stream", "text": "hello"}])}) == []
