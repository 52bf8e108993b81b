PROJECT = """\
name: p
entry_points:
  main:
    parameters:
      alpha: {{type: float, default: 0.5}}
      depth: {{type: int, default: 3}}
    command: "python {command}"
"""


def test_a_parameter_that_is_never_used(check, place):
    (finding,) = check(
        "MLE0414/mlproject", {"MLproject": PROJECT.format(command="train.py {alpha}"), "train.py": "x = 1\n"}
    )
    assert place(finding) == ("MLproject", 6)
    assert "depth" in finding.title


def test_a_script_that_does_not_exist(check):
    (finding,) = check("MLE0414/mlproject", {"MLproject": PROJECT.format(command="fit.py {alpha} {depth}")})
    assert "fit.py" in finding.title


def test_a_project_that_fits(check):
    files = {"MLproject": PROJECT.format(command="train.py {alpha} {depth}"), "train.py": "x = 1\n"}
    assert check("MLE0414/mlproject", files) == []
