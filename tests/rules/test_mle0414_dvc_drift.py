DVC = """\
stages:
  train:
    cmd: python src/train.py data/raw.csv
    deps:
      - src/train.py
      - {dep}
    params:
      - train.seed
    outs:
      - model.pkl
  evaluate:
    cmd: python {script}
    deps:
      - {listed}
      - model.pkl
"""
FILES = {"src/train.py": "x = 1\n", "src/evaluate.py": "x = 1\n", "data/raw.csv.dvc": "outs:\n- path: raw.csv\n"}
PARAMS = "train:\n  seed: 3\n"


def files(dep="data/raw.csv", script="src/evaluate.py", listed="src/evaluate.py", params=PARAMS):
    return {**FILES, "dvc.yaml": DVC.format(dep=dep, script=script, listed=listed), "params.yaml": params}


def test_a_pipeline_that_fits(check):
    assert check("MLE0414", files()) == []


def test_a_script_that_does_not_exist(check, place):
    (finding,) = check("MLE0414", files(script="src/evalute.py"))
    assert place(finding) == ("dvc.yaml", 12)
    assert "src/evalute.py" in finding.title


def test_a_script_that_is_not_listed(check, place):
    (finding,) = check("MLE0414", files(listed="params.yaml"))
    assert place(finding) == ("dvc.yaml", 12)
    assert "not among the deps" in finding.title


def test_an_input_that_nobody_makes(check, place):
    (finding,) = check("MLE0414", files(dep="data/clean.csv"))
    assert place(finding) == ("dvc.yaml", 6)


def test_a_parameter_that_is_not_there(check, place):
    (finding,) = check("MLE0414", files(params="train:\n  rate: 1\n"))
    assert place(finding) == ("dvc.yaml", 8)
    assert "train.seed" in finding.title


def test_values_that_are_filled_in_cannot_be_judged(check):
    assert check("MLE0414", files(dep="${data.path}", script="${script}")) == []


def test_a_section_of_parameters_that_the_script_reads_and_the_stage_does_not_list(check, place):
    script = "import yaml\nparams = yaml.safe_load(open('params.yaml'))\nn = params['split']['size']\n"
    tree = {**files(params=PARAMS + "split:\n  size: 2\n"), "src/train.py": script}
    (finding,) = check("MLE0414", tree)
    assert place(finding) == ("dvc.yaml", 3)
    assert "parameter split" in finding.title
    tree["dvc.yaml"] = tree["dvc.yaml"].replace("- train.seed", "- split.size")
    assert check("MLE0414", tree) == []
