import pytest

CI = "on: [push]\njobs:\n  build:\n    steps:\n      - run: %s\n"
WHERE = ".github/workflows/ci.yml"
TRAIN = """\
from sklearn.linear_model import LogisticRegression
def fit(X, y):
    model = LogisticRegression()
    return model.fit(X, y)
if __name__ == "__main__":
    fit([[1]], [1])
"""


def test_a_pipeline_that_never_trains_is_reported(check, place):
    files = {WHERE: CI % "pytest", "src/job.py": TRAIN, "tests/test_a.py": "def test():\n    assert 1\n"}
    (finding,) = check("MLE0803", files)
    assert place(finding) == (WHERE, 3)


@pytest.mark.parametrize("command", ["python src/job.py", "dvc repro", "make train", "python -m src.job --sample"])
def test_training_in_a_step_counts(check, command):
    files = {WHERE: CI % command, "src/job.py": TRAIN, "Makefile": "train:\n\tpython src/job.py\n"}
    assert check("MLE0803", files) == []


def test_a_test_that_trains_counts(check):
    test = "from src.job import fit\ndef test_fit():\n    assert fit([[1]], [1])\n"
    assert check("MLE0803", {WHERE: CI % "pytest", "src/job.py": TRAIN, "tests/test_job.py": test}) == []


def test_a_repository_that_trains_nothing_is_no_subject(check):
    assert check("MLE0803", {WHERE: CI % "pytest", "a.py": "x = 1\n"}) == []


def test_a_notebook_that_ci_runs(check):
    files = {"train.py": "from sklearn.svm import SVC\nSVC().fit(X, y)\n"}
    flow = "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n      - run: {}\n"
    assert check("MLE0803", {**files, ".github/workflows/ci.yml": flow.format("papermill a.ipynb b.ipynb")}) == []
    assert len(check("MLE0803", {**files, ".github/workflows/ci.yml": flow.format("pip list")})) == 1


@pytest.mark.parametrize(("last", "found"), [("RUN python3 src/job.py", 0), ('CMD ["python3", "src/job.py"]', 1)])
def test_an_image_whose_build_trains(check, last, found):
    image = f"FROM python:3.12\nCOPY src src\n{last}\n"
    files = {WHERE: CI % "docker build -t a .", "src/job.py": TRAIN, "Dockerfile": image}
    assert len(check("MLE0803", files)) == found


def test_a_training_by_fasttext_is_a_subject(check):
    train = "import fasttext\nfasttext.train_supervised(input='a.txt').save_model('m.bin')\n"
    assert len(check("MLE0803", {WHERE: CI % "pytest", "train.py": train})) == 1
    assert check("MLE0803", {WHERE: CI % "python train.py", "train.py": train}) == []
