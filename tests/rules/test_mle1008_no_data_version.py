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


@pytest.mark.parametrize(("option", "default"), [("--data", "data/castings"), ("--images", "./castings_3m")])
def test_the_default_of_an_option_is_a_path(check, place, option, default):
    code = (
        "import argparse, torch\nparser = argparse.ArgumentParser()\n"
        f"parser.add_argument('{option}', default='{default}')\nparser.add_argument('--lr', default='1e-3')\n"
        "loss = torch.nn.MSELoss()(torch.ones(1), torch.ones(1))\nloss.backward()\n"
    )
    (finding,) = check("MLE1008", {"train.py": code})
    assert place(finding) == ("train.py", 3)


def test_an_absolute_path_to_a_file_that_is_tracked(check):
    assert check("MLE1008", {"train.py": TRAIN.replace("data/", "/home/me/"), "data/train.csv": "a\n"}) == []


def test_a_table_that_a_program_of_the_repository_writes(check):
    make = "import pandas as pd\npd.DataFrame({'a': range(3)}).to_csv('data/train.csv')\n"
    assert check("MLE1008", {"train.py": TRAIN, "make.py": make}) == []


def test_a_method_of_what_was_read_reads_nothing(check, place):
    code = TRAIN.replace("SVC()", "df.fillna('data/other.csv')\nSVC()")
    (finding,) = check("MLE1008", {"train.py": code})
    assert "data/train.csv" in finding.title
