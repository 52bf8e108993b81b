CODE = "from sklearn.svm import SVC\nclf = SVC()\nclf.fit(X, y)\nprint(clf.score(a, b))\n"


def test_no_baseline_is_reported_where_the_model_is_trained(check, place):
    (finding,) = check("MLE0110", {"t.py": CODE})
    assert place(finding) == ("t.py", 3)


def test_a_dummy_model_is_a_baseline(check):
    code = CODE + "from sklearn.dummy import DummyClassifier\nDummyClassifier().fit(X, y).score(a, b)\n"
    assert check("MLE0110", {"t.py": code}) == []


def test_nothing_is_judged_nothing_is_said(check):
    assert check("MLE0110", {"t.py": "print(1)\n"}) == []
