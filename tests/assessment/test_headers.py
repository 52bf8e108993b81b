"""Imports taken without a syntax tree are those that the tree has, or there is no answer."""

import ast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.assessment.facts import _statements, of_files
from ml_engineer.assessment.files import scan
from ml_engineer.assessment.headers import imports_of


def shown(statements):
    return [(node.lineno, ast.unparse(node)) for node in statements]


def of_tree(text):
    return shown(_statements(ast.parse(text)))


PLAIN = '''
"""Says how: from here import nothing.

import not_this
"""
import os, sys as system
from . import sibling
from ..pkg.data import (  # a remark
    load,
    save as keep,
)
from far.away import \\
    thing

TEXT = """
from text import nothing
"""

def work():
    \'\'\'import neither\'\'\'
    import json
    try:
        from torch import nn
    except ImportError:
        nn = None
    return f"{json} important"
'''


def test_imports_are_found_with_their_lines_and_texts_hold_none():
    found = imports_of(PLAIN)
    assert found is not None
    assert shown(found) == of_tree(PLAIN)
    assert len(found) == 6


def test_other_line_endings_count_the_same_lines():
    found = imports_of(PLAIN.replace("\n", "\r\n"))
    assert found is not None
    assert shown(found) == of_tree(PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "if True: import os\n",
        "x = 1; import os\n",
        "import os\nx = (\n",
        "import os\nx = 'nothing\\\nimport os'\n",
        'import os\nquote = \'"""\'\nimport sys\n',
        'import os\n# a quote """ in a remark\nimport sys\n# and """ another\n',
        "import os\nprint 'Python 2'\n",
        'import os\nx = """open\n',
        "import os\0\n",
    ],
)
def test_where_it_could_be_mistaken_there_is_no_answer(text):
    assert imports_of(text) is None


def test_unchecked_source_need_not_be_right():
    found = imports_of("import os\nprint 'Python 2'\n", checked=False)
    assert found is not None
    assert shown(found) == [(1, "import os")]


PIECES = st.lists(
    st.sampled_from(
        [
            "import os", "from a import b", "from a import (b,\n  c)", "import a \\\n  as b", "x = 1", "pass",
            "'''a text\nimport os\n'''", '"""', "'", '"', "# import", "if x:\n    import y",
            "def f():\n    from . import z",
            "x = 'import os'", "if x: import y", "x = 2; import w", "raise E \\\n from e",
            "(yield\n from x)", "\\", "\f",
        ]
    ),
    max_size=8,
)  # fmt: skip


@given(PIECES)
def test_an_answer_is_never_other_than_the_tree(pieces):
    text = "\n".join(pieces)
    found = imports_of(text)
    if found is not None:
        assert shown(found) == of_tree(text)


def test_a_broken_file_is_known_as_broken_where_a_test_of_the_same_content_is_not_asked(tmp_path, monkeypatch):
    monkeypatch.setenv("ML_ENGINEER_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("ml_engineer.assessment.facts.CACHED_FROM", 0)
    root = tmp_path / "tree"
    for folder in ("src", "tests"):
        (root / folder).mkdir(parents=True)
        (root / folder / "broken.py").write_text("import os\nprint 'Python 2'\n")
    files = scan(root).files
    for order in (["tests/broken.py", "src/broken.py"], ["src/broken.py", "tests/broken.py"]):
        facts = {path: of_files([files[path]])[path] for path in order}
        assert [error.line for error in facts["src/broken.py"].errors] == [2]
        assert [item.target for item in facts["tests/broken.py"].imports] == ["os"]
