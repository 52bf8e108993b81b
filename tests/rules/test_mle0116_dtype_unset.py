CODE = (
    "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('d.csv'{more})\nSVC().fit(df[['a']], df['b'])\n"
)


def test_types_of_the_training_data_are_guessed(check, place):
    (finding,) = check("MLE0116/dtype", {"t.py": CODE.format(more="")})
    assert place(finding) == ("t.py", 3)
    assert finding.severity == "low"


def test_types_or_columns_that_are_said(check):
    assert check("MLE0116/dtype", {"t.py": CODE.format(more=", usecols=COLUMNS")}) == []


def test_a_report_that_trains_nothing_is_no_subject(check):
    assert check("MLE0116/dtype", {"t.py": "import pandas as pd\nprint(pd.read_csv('d.csv').head())\n"}) == []
