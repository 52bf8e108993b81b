HEAD = """\
from sklearn.preprocessing import StandardScaler
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
X_train, X_test, y_train, y_test = train_test_split(*load())
"""


def test_a_scaler_fitted_again_on_the_test_half(check, place):
    code = HEAD + "sc = StandardScaler()\na = sc.fit_transform(X_train)\nb = sc.fit_transform(X_test)\n"
    (finding,) = check("MLE0102", {"t.py": code})
    assert place(finding) == ("t.py", 7)
    assert "StandardScaler" in finding.title


def test_a_model_fitted_on_the_test_half_and_judged_there(check, place):
    code = HEAD + "m = LogisticRegression()\nm.fit(X_test, y_test)\nprint(m.score(X_test, y_test))\n"
    (finding,) = check("MLE0102", {"t.py": code})
    assert place(finding) == ("t.py", 6)


def test_transform_alone_is_right(check):
    code = HEAD + "sc = StandardScaler()\na = sc.fit_transform(X_train)\nb = sc.transform(X_test)\n"
    assert check("MLE0102", {"t.py": code}) == []


def test_a_refit_after_the_last_judgement_is_no_leak(check):
    code = HEAD + (
        "m = LogisticRegression().fit(X_train, y_train)\nprint(m.score(X_test, y_test))\n"
        "m.fit(X_test, y_test)\nsave(m)\n"
    )
    assert check("MLE0102", {"t.py": code}) == []


def test_the_training_half_of_a_second_split_is_no_test_half(check):
    code = HEAD + "X_tr, X_val, y_tr, y_val = train_test_split(X_train, y_train)\nStandardScaler().fit(X_tr)\n"
    assert check("MLE0102", {"t.py": code}) == []


def test_a_picture_of_the_test_rows_is_no_leak(check):
    code = HEAD + "from sklearn.manifold import TSNE\nTSNE().fit_transform(X_test)\n"
    assert check("MLE0102", {"t.py": code}) == []


def test_what_an_estimator_of_a_library_does_with_the_rows_it_is_given(check):
    code = """
        from sklearn.preprocessing import LabelEncoder
        class Pool:
            def score(self, X_test, y_test):
                return LabelEncoder().fit_transform(y_test)
        """
    assert len(check("MLE0102", {"lib/pool.py": code})) == 1
    project = "[project]\nname = 'lib'\nclassifiers = ['Programming Language :: Python']\n"
    assert check("MLE0102", {"pyproject.toml": project}) == []
