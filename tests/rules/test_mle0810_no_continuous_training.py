import pytest

FILES = {
    "train.py": "from sklearn.svm import SVC\nSVC().fit([[1]], [1])\n",
    "app.py": "from flask import Flask\napp = Flask(__name__)\n@app.route('/predict')\ndef predict():\n    return ''\n",
}


def test_a_served_model_that_nothing_trains_again(check, place):
    (finding,) = check("MLE0810", FILES)
    assert place(finding) == ("train.py", 2)


@pytest.mark.parametrize(
    "extra",
    [
        {".github/workflows/t.yml": "on:\n  schedule:\n    - cron: '0 1 * * *'\njobs: {}\n"},
        {"dags/d.py": "from airflow import DAG\nDAG('x', schedule='@daily')\n"},
        {"k8s/c.yaml": "apiVersion: batch/v1\nkind: CronJob\n"},
    ],
)
def test_a_schedule_of_any_kind_is_enough(check, extra):
    assert check("MLE0810", {**FILES, **extra}) == []


def test_a_model_that_is_not_served_is_no_subject(check):
    assert check("MLE0810", {"train.py": FILES["train.py"]}) == []
