import json

import pytest


def notebook(*cells):
    """A notebook of (execution count, source) pairs."""
    made = [{"cell_type": "code", "execution_count": n, "source": s, "outputs": []} for n, s in cells]
    return json.dumps({"cells": made, "nbformat": 4, "metadata": {}})


def test_counts_that_go_down_are_medium(check, place):
    (finding,) = check("MLE0301", {"n.ipynb": notebook((2, "x = 1"), (1, "y = 2"))})
    assert finding.severity.value == "medium"
    assert finding.evidence[0].cell == 1


def test_they_are_high_where_a_clean_run_fails(check):
    (finding,) = check("MLE0301", {"n.ipynb": notebook((2, "print(y)"), (1, "y = 2"))})
    assert finding.severity.value == "high"


def test_gaps_alone_are_one_note_for_the_whole_repository(check):
    files = {"a.ipynb": notebook((3, "x = 1"), (7, "y = 2")), "b.ipynb": notebook((2, "x = 1"))}
    (finding,) = check("MLE0301", files)
    assert finding.severity.value == "info"
    assert len(finding.evidence) == 2


@pytest.mark.parametrize(
    "cells",
    [((1, "x = 1"), (2, "y = 2")), ((None, "x = 1"), (None, "y = 2")), ((1, "x = 1"), (None, "y"), (2, "z = 1"))],
)
def test_a_clean_run_and_cells_that_never_ran_are_silent(check, cells):
    assert check("MLE0301", {"n.ipynb": notebook(*cells)}) == []


def test_the_editors_checkpoint_copy_is_no_notebook_of_its_own(check):
    bad = notebook((2, "x = 1"), (1, "y = 2"))
    assert len(check("MLE0301", {"n.ipynb": bad, ".ipynb_checkpoints/n-checkpoint.ipynb": bad})) == 1


def test_a_count_of_zero_is_a_cell_that_did_not_run(check):
    assert check("MLE0301", {"n.ipynb": notebook((1, "x = 1"), (0, "y = 2"), (2, "z = 3"))}) == []


def test_a_name_that_no_cell_makes_is_not_a_matter_of_order(check):
    (finding,) = check("MLE0301", {"n.ipynb": notebook((2, "print(y)"), (1, "x = 2"))})
    assert finding.severity.value == "medium"
