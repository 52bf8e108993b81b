HEAD = """\
import pandas as pd
from sklearn.model_selection import train_test_split, KFold
df = pd.read_csv("sales.csv")
"""


def test_lag_features_and_a_random_split(check, place):
    code = HEAD + 'df["lag"] = df["sold"].shift(1)\nX = df[["lag"]]\na, b = train_test_split(X, random_state=1)\n'
    (finding,) = check("MLE0105", {"t.py": code})
    assert place(finding) == ("t.py", 6)
    assert finding.severity == "high"


def test_a_split_in_order_is_right(check):
    code = HEAD + 'df["lag"] = df["sold"].shift(1)\na, b = train_test_split(df, shuffle=False)\n'
    assert check("MLE0105", {"t.py": code}) == []


def test_sorted_by_date_then_shuffled(check):
    code = HEAD + 'df = df.sort_values("date")\nfor tr, te in KFold(5, shuffle=True).split(df): pass\n'
    (finding,) = check("MLE0105", {"t.py": code})
    assert finding.severity == "medium"


def test_a_numeric_time_column_is_a_low_hint(check):
    code = HEAD + 'df["t"] = df["Time"] / 3600\na, b = train_test_split(df)\n'
    (finding,) = check("MLE0105", {"t.py": code})
    assert finding.severity == "low"


def test_a_date_that_does_not_reach_the_split_is_nothing(check):
    code = HEAD + 'log = df.sort_values("date")\nX = pd.read_csv("x.csv")\na, b = train_test_split(X)\n'
    assert check("MLE0105", {"t.py": code}) == []
