FLASK = """import os, subprocess, shlex
from flask import Flask, request
app = Flask(__name__)
@app.route('/r')
def r():
"""
CLI = "import argparse, os, subprocess\nargs = argparse.ArgumentParser().parse_args()\n"


def test_a_request_in_a_shell_command(check, place):
    (finding,) = check("MLE0529", {"app.py": FLASK + "    os.system('ls ' + request.args['d'])\n    return ''\n"})
    assert (finding.severity.value, place(finding)) == ("high", ("app.py", 6))


def test_the_command_line_is_high_in_training_and_medium_in_a_tool(check):
    line = "subprocess.run(f'tar xf {args.data}', shell=True)\n"
    (finding,) = check("MLE0529", {"tool.py": CLI + line})
    assert finding.severity.value == "medium"
    train = CLI + line + "from sklearn.svm import SVC\nSVC().fit(X, y)\n"
    assert [f.severity.value for f in check("MLE0529", {"tool.py": "", "train.py": train})] == ["high"]


def test_lists_constants_and_quoted_values_are_fine(check):
    lines = [
        "subprocess.run(['ls', request.args['d']])",
        "os.system('ls data')",
        "os.system(f\"ls {shlex.quote(request.args['d'])}\")",
        "subprocess.run(['ls', request.args['d']], shell=False)",
    ]
    for line in lines:
        assert check("MLE0529", {"app.py": FLASK + f"    {line}\n    return ''\n"}) == []


def test_a_helper_that_hands_a_command_on_is_judged_by_its_callers(check, place):
    code = (
        "import os, subprocess\ndef sh(cmd, check=True):\n    return subprocess.run(cmd, shell=True)\n"
        "sh('ls data')\nsh(f'rm -r {os.environ[\"OUT\"]}')\n"
    )
    (finding,) = check("MLE0529", {"deploy.py": code})
    assert place(finding) == ("deploy.py", 5)
    assert len(finding.evidence) == 1


def test_the_environment_is_the_operators_own(check):
    code = "import os\ndef train():\n    os.system(f'psql {{{}}}')\nif __name__ == '__main__':\n    train()\n"
    (finding,) = check("MLE0529", {"train.py": code.format('os.environ["DSN"]')})
    assert finding.severity.value == "medium"
