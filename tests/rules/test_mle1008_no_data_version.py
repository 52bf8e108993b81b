import pytest

TRAIN = "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('data/train.csv')\nSVC().fit(df, df)\n"


def test_training_data_that_nothing_versions(check, place):
    (finding,) = check("MLE1008", {"train.py": TRAIN})
    assert (place(finding), finding.severity) == (("train.py", 3), "medium")


@pytest.mark.parametrize(
    "extra",
    [
        {"data/train.csv": "a\n"},
        {"data/train.csv.dvc": "outs: []\n"},
        {".gitattributes": "*.csv filter=lfs diff=lfs\n"},
        {"train.py": TRAIN + "import hashlib\nhashlib.sha256(b'')\n"},
        {"train.py": TRAIN.replace("data/train.csv", "https://example.org/train.csv")},
    ],
)
def test_tracked_referenced_or_checked_data(check, extra):
    assert check("MLE1008", {"train.py": TRAIN, **extra}) == []
