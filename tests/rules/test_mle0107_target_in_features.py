import pytest

HEAD = """\
import pandas as pd
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import train_test_split
df = pd.read_csv("d.csv")
y = df["churned"]
"""


def test_a_frame_that_still_holds_the_target(check, place):
    code = HEAD + 'X = df.drop(columns=["id"]).fillna(0)\na, b, c, d = train_test_split(X, y)\n'
    (finding,) = check("MLE0107", {"t.py": code})
    assert place(finding) == ("t.py", 7)
    assert "churned" in finding.title


def test_fit_on_the_whole_frame(check, place):
    (finding,) = check("MLE0107", {"t.py": HEAD + "LogisticRegression().fit(df, y)\n"})
    assert place(finding) == ("t.py", 6)


@pytest.mark.parametrize(
    "features",
    [
        'X = df.drop("churned", axis=1)',
        'X = df.drop(["id", "churned"], axis=1)',
        'X = df[["a", "b"]]',
        "X = df.iloc[:, :-1]",
        "X = df.drop(TARGET, axis=1)",
        'df.drop(columns="churned", inplace=True)\nX = df',
        'X = df.copy()\ndel X["churned"]',
        'X = df.copy()\nX.pop("churned")',
        "X = df.select_dtypes('number')",
        "X = features(df)",
        'X = pd.read_csv("x.csv")',
    ],
)
def test_dropped_or_chosen_columns_are_right(check, features):
    assert check("MLE0107", {"t.py": HEAD + features + "\na, b, c, d = train_test_split(X, y)\n"}) == []


@pytest.mark.parametrize("later", ['X_train = a.drop("churned", axis=1)', "m.fit(a[COLUMNS], c)", "a.pop('churned')"])
def test_columns_that_are_chosen_after_the_split(check, later):
    code = HEAD + "a, b, c, d = train_test_split(df, y)\n"
    assert len(check("MLE0107", {"t.py": code})) == 1
    assert check("MLE0107", {"t.py": code + later + "\n"}) == []


@pytest.mark.parametrize(
    ("grown", "found"),
    [("", 1), ("ids.append('label')\n", 0), ("ids += ['label']\n", 0)],
)
def test_a_data_set_of_a_booster_that_holds_its_label(check, place, grown, found):
    code = f"import lightgbm as lgb\nids = ['user', 'day']\n{grown}"
    code += "rows = lgb.Dataset(train.drop(columns=ids), label=train.label)\n"
    findings = check("MLE0107", {"t.py": code})
    assert [place(finding) for finding in findings] == [("t.py", 3)] * found


def test_an_index_is_no_column(check):
    assert check("MLE0107", {"t.py": "from sklearn.svm import SVC\nSVC().fit(df, df.index)\n"}) == []
