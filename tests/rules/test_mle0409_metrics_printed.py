PRINTS = "from sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\ns = m.score(a, b)\nprint(s)\n"
LOGS = "import mlflow\nfrom sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\nmlflow.log_metric('s', m.score(a, b))\n"


def test_one_program_prints_where_another_logs(check, place):
    (finding,) = check("MLE0409", {"first.py": LOGS, "second.py": PRINTS})
    assert place(finding) == ("second.py", 4)


def test_where_nothing_is_recorded_another_rule_speaks(check):
    assert check("MLE0409", {"second.py": PRINTS}) == []


def test_a_program_that_logs_is_right(check):
    assert check("MLE0409", {"first.py": LOGS}) == []
