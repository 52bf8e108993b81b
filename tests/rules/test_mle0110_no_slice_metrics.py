CODE = "from sklearn.svm import SVC\nclf = SVC()\nclf.fit(X, y)\nprint(clf.score(a, b))\n"


def test_one_figure_for_all_rows(check, place):
    (finding,) = check("MLE0110/slices", {"t.py": CODE})
    assert place(finding) == ("t.py", 3)


def test_a_figure_for_each_group_is_enough(check):
    code = CODE + "for name, rows in frame.groupby('region'):\n    score_by_segment[name] = clf.score(rows, b)\n"
    assert check("MLE0110/slices", {"t.py": code}) == []
