import ast

import pytest

from ml_engineer.assessment.python2 import as_python3
from ml_engineer.assessment.repo import Repo


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("print 'a', 1  # said\n", "print('a', 1)  # said\n"),
        ("if x: print x; y = 1\n", "if x: print(x); y = 1\n"),
        ("print (1), 'of', (2)\n", "print(1), 'of', (2)\n"),
        ("print 'loss: %.4f' % (\n    loss,\n)\n", "print('loss: %.4f' % (\n    loss,\n))\n"),
        (
            "try:\n    a()\nexcept (A, B), e:\n    raise E, 'no'\n",
            "try:\n    a()\nexcept (A, B) as e:\n    raise E('no')\n",
        ),
        ("x = lambda (k, v): k <> `v`\n", "x = lambda k, v: k != repr(v)\n"),
        ("os.chmod(f, 0755); n = 10L * 0.05\n", "os.chmod(f, 0o755); n = 10 * 0.05\n"),
        ("def f(a, (b, c), d=(1, 2)):\n    exec 'a = 1'\n", "def f(a, b, c, d=(1, 2)):\n    exec('a = 1')\n"),
        ("x = x.cuda(async=True)\n", "x = x.cuda(async_=True)\n"),
        ("if a:\n\tb()\n        c()\n", "if a:\n        b()\n        c()\n"),
    ],
)
def test_what_stops_the_parser_is_said_in_the_words_of_python3(old, new):
    written = as_python3(old)
    assert written is not None
    assert ast.dump(ast.parse(written)) == ast.dump(ast.parse(new))
    assert written.count("\n") == old.count("\n")


def test_what_stands_in_texts_and_comments_stays():
    text = '''"""print 'a' <> 010"""\n# print b\nd = {'print x': 1}\nprint("c", 0.010)\nprint = log\n'''
    assert as_python3(text) in (None, text)


def test_a_line_that_goes_on_with_a_percent_sign_is_no_magic(tmp_path):
    (tmp_path / "t.py").write_text("print 'at %d' \\\n    % n\nloss.backward()\n")
    (module,) = Repo.open(tmp_path).modules
    assert [call.name for call in module.calls if call.name.endswith("backward")]
