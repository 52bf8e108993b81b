TRAIN = "import joblib\nfrom sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\njoblib.dump(m, 'm.joblib')\n"
SCORE = "import joblib\nprint(joblib.load('m.joblib').predict(X))\n"


def test_nothing_says_when(check, place):
    (finding,) = check("MLE0707", {"train.py": TRAIN, "score.py": SCORE})
    assert (finding.severity.value, place(finding)) == ("low", ("train.py", 5))


def test_a_date_a_tracker_or_a_schedule(check):
    dated = "from datetime import datetime\nmeta = {'trained_at': datetime.now().isoformat()}\n"
    assert check("MLE0707", {"train.py": TRAIN + dated, "score.py": SCORE}) == []
    assert check("MLE0707", {"train.py": "import mlflow\n" + TRAIN, "score.py": SCORE}) == []


def test_a_schedule_keeps_it_fresh(check):
    job = "apiVersion: batch/v1\nkind: CronJob\nmetadata:\n  name: train\n"
    assert check("MLE0707", {"train.py": TRAIN, "score.py": SCORE, "k8s/train.yaml": job}) == []
