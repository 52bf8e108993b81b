import pytest


def test_a_file_that_asserts_nothing(check, place):
    (finding,) = check("MLE0314", {"tests/test_a.py": "def test_a():\n    print(f())\n"})
    assert finding.severity.value == "medium"
    assert place(finding) == ("tests/test_a.py", 1)


def test_a_live_server_is_named_even_where_something_is_asserted(check, place):
    text = (
        "import requests\nURL = 'http://localhost:5000/p'\ndef test_a():\n"
        "    r = requests.post(URL, json={})\n    assert r.ok\n"
    )
    (finding,) = check("MLE0314", {"tests/test_a.py": text})
    assert place(finding) == ("tests/test_a.py", 4)
    assert "live" in finding.title


@pytest.mark.parametrize(
    "text",
    [
        "def test_a():\n    assert f()\n",
        "import pytest\ndef test_a():\n    with pytest.raises(ValueError):\n        f()\n",
        "import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.assertEqual(f(), 1)\n",
        "import numpy as np\ndef test_a():\n    np.testing.assert_allclose(f(), 1)\n",
        "def assert_ok(x):\n    assert x\ndef test_a():\n    assert_ok(f())\n",
        "def helper(x):\n    assert x\ndef test_a():\n    helper(f())\n",
        "def test_a(mocker):\n    m = mocker.patch('x')\n    m.assert_called_once()\n",
        "import responses, requests\ndef test_a():\n    assert requests.get('http://x.org/a').ok\n",
    ],
)
def test_files_that_check_something_are_silent(check, text):
    assert check("MLE0314", {"tests/test_a.py": text}) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("self.assertEqual(True, True)", 1),
        ("assert True", 1),
        ("assert 1 == 1", 1),
        ("assert False", 0),  # a line that is not to be reached
        ("m.assert_called_with('a')", 0),
    ],
)
def test_an_assertion_of_constants_checks_nothing(check, line, found):
    text = f"import unittest\nclass A(unittest.TestCase):\n    def test_a(self):\n        {line}\n"
    assert len(check("MLE0314", {"tests/test_a.py": text})) == found


def test_a_script_that_evaluates_is_no_test_file(check):
    assert check("MLE0314", {"test.py": "print('accuracy')\n"}) == []


def test_an_address_that_the_case_keeps(check, place):
    text = (
        "import unittest, requests\nclass A(unittest.TestCase):\n    def test_a(self):\n        self.url = 'http://0.0.0.0:9999/p'\n"
        "        self.assertEqual(1, len(requests.get(self.url, json={}).json()))\n"
    )
    (finding,) = check("MLE0314", {"tests/test_a.py": text})
    assert place(finding) == ("tests/test_a.py", 5)


def test_a_script_that_a_runner_takes_for_tests(check, place):
    live = "import requests\nURL = 'http://localhost:5000'\nprint(requests.post(URL, json={}).json())\n"
    (finding,) = check("MLE0314", {"test_api.py": live})
    assert (place(finding), "live server" in finding.title) == (("test_api.py", 3), True)
    shown = "import torch\nmodel = torch.hub.load('a/b', 'c')\nprint(model(1))\n"
    (finding,) = check("MLE0314", {"test_api.py": "", "tests/test_inference.py": shown})
    assert place(finding) == ("tests/test_inference.py", 2)
    assert check("MLE0314", {"tests/test_inference.py": "", "test_video.py": shown}) == []  # a program of that name


@pytest.mark.parametrize(
    "text",
    [
        "def test_a():\n    Template.from_stack(stack).resource_count_is('AWS::Lambda::Function', 1)\n",
        (
            "import subprocess, requests\nsubprocess.run(['docker', 'run', 'me'])\n"
            "def test_a():\n    assert requests.get('http://localhost:8000/').ok\n"
        ),
    ],
)
def test_stacks_that_are_counted_and_servers_that_the_test_starts(check, text):
    assert check("MLE0314", {"tests/test_a.py": text}) == []
