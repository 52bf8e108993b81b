SPLIT = "import pandas as pd\nfrom sklearn.model_selection import train_test_split\n"


def test_an_id_that_repeats_in_the_tracked_data(check, place):
    rows = "patient_id,x\n" + "".join(f"{n // 3},1\n" for n in range(60))
    code = SPLIT + 'df = pd.read_csv("d.csv")\na, b = train_test_split(df)\n'
    (finding,) = check("MLE0106", {"t.py": code, "d.csv": rows})
    assert place(finding) == ("t.py", 4)
    assert finding.severity == "low" and "patient_id" in finding.title


def test_an_id_with_one_row_each_is_no_group(check):
    rows = "patient_id,x\n" + "".join(f"{n},1\n" for n in range(60))
    code = SPLIT + 'df = pd.read_csv("d.csv")\na, b = train_test_split(df)\n'
    assert check("MLE0106", {"t.py": code, "d.csv": rows}) == []


def test_a_split_by_groups_is_right(check):
    code = (
        'import pandas as pd\nfrom sklearn.model_selection import GroupKFold\ndf = pd.read_csv("d.csv")\n'
        'X = df.groupby("user_id").cumcount()\nfor a, b in GroupKFold(5).split(X, groups=df["user_id"]): pass\n'
    )
    assert check("MLE0106", {"t.py": code}) == []


def test_features_grouped_by_a_user(check):
    code = SPLIT + 'df = pd.read_csv("d.csv")\ndf["n"] = df.groupby("user_id").x.transform("count")\n'
    (finding,) = check("MLE0106", {"t.py": code + "a, b = train_test_split(df)\n"})
    assert "user_id" in finding.title
