import pytest

TRAIN = "import joblib\nfrom sklearn.svm import SVC\nm = SVC().fit([[1]], [1])\njoblib.dump(m, 'm.joblib')\n"


def test_a_model_saved_with_nothing_said(check, place):
    (finding,) = check("MLE1012", {"train.py": TRAIN})
    assert (place(finding), finding.severity) == (("train.py", 4), "low")


@pytest.mark.parametrize(
    "extra",
    [
        {"train.py": "import mlflow\n" + TRAIN},
        {"train.py": TRAIN + "import subprocess\nsubprocess.check_output(['git', 'rev-parse', 'HEAD'])\n"},
        {"dvc.lock": "stages: {}\n"},
        {"train.py": "from sklearn.svm import SVC\nSVC().fit([[1]], [1])\n"},
    ],
)
def test_tracked_noted_locked_or_not_saved(check, extra):
    assert check("MLE1012", {"train.py": TRAIN, **extra}) == []


def test_a_helper_saves_for_the_training_script(check, place):
    helper = "import joblib\ndef save(m):\n    joblib.dump(m, 'm.joblib')\n"
    train = "from helper import save\nfrom sklearn.svm import SVC\nm = SVC().fit([[1]], [1])\nsave(m)\n"
    (finding,) = check("MLE1012", {"helper.py": helper, "train.py": train})
    assert place(finding) == ("train.py", 3)
