CODE = """\
from sklearn.metrics import accuracy_score{more}
from sklearn.svm import SVC
clf = SVC({weight}).fit(X, y)
print(accuracy_score(b, clf.predict(a)))
"""


def test_accuracy_alone_with_class_weights(check, place):
    (finding,) = check("MLE0109", {"t.py": CODE.format(more="", weight="class_weight='balanced'")})
    assert place(finding) == ("t.py", 4)


def test_a_name_of_something_rare_is_a_cue(check):
    assert len(check("MLE0109", {"fraud/t.py": CODE.format(more="", weight="")})) == 1


def test_without_a_cue_accuracy_may_do(check):
    assert check("MLE0109", {"t.py": CODE.format(more="", weight="")}) == []


def test_another_metric_is_enough(check):
    code = (
        CODE.format(more=", recall_score", weight="class_weight='balanced'")
        + "print(recall_score(b, clf.predict(a)))\n"
    )
    assert check("MLE0109", {"t.py": code}) == []
