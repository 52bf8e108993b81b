import subprocess

import pytest

TRAIN = """\
import pandas as pd
from sklearn.svm import SVC
df = pd.read_csv("data/sales.csv")
SVC().fit(df[["a"]], df["b"])
"""


def test_a_file_that_nothing_makes_or_mentions(check, place):
    (finding,) = check("MLE0417", {"t.py": TRAIN, "README.md": "Run t.py.\n"})
    assert place(finding) == ("t.py", 3)
    assert "data/sales.csv" in finding.title


def test_a_tracked_file(check):
    assert check("MLE0417", {"t.py": TRAIN, "data/sales.csv": "a,b\n1,2\n"}) == []


def test_a_file_that_another_program_writes(check):
    assert check("MLE0417", {"t.py": TRAIN, "make.py": "frame.to_csv('data/sales.csv')\n"}) == []


def test_a_documented_step(check):
    assert check("MLE0417", {"t.py": TRAIN, "README.md": "Put sales.csv into data/.\n"}) == []
    assert check("MLE0417", {"t.py": TRAIN, "README.md": "Download the files from our share.\n"}) == []


@pytest.mark.parametrize("rule", ["MLE0417", "MLE1008"])
def test_a_file_of_the_index_whose_content_this_copy_lacks_is_there(check, tmp_path, rule):
    assert len(check(rule, {"t.py": TRAIN})) == 1
    (tmp_path / "data").mkdir()
    (tmp_path / "data/sales.csv").write_text("a,b\n")
    for arguments in (["init", "-q"], ["add", "."]):
        subprocess.run(["git", *arguments], cwd=tmp_path, check=True)
    (tmp_path / "data/sales.csv").unlink()
    assert check(rule, {}) == []


def test_a_table_that_the_step_before_writes_under_another_name(check, place):
    step = "import pandas as pd\ndf = pd.read_csv('data/raw.csv')\ndf.to_csv('features/test3.csv')\n"
    train = (
        "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('features/{}.csv')\nSVC().fit(df, df.y)\n"
    )
    readme = {"README.md": "A solution for Kaggle.\n", "features.py": step}
    (finding,) = check("MLE0417", {**readme, "train.py": train.format("test")})
    assert place(finding) == ("train.py", 3)
    assert check("MLE0417", {**readme, "train.py": train.format("test3")}) == []
    assert check("MLE0417", {**readme, "train.py": train.format("test").replace("features/", "data/")}) == []


def test_files_of_one_folder_are_one_cause(check):
    code = TRAIN + "test = pd.read_csv('data/rest.csv')\nmodel.fit(test)\n"
    (finding,) = check("MLE0417", {"t.py": code})
    assert finding.title == "Training reads 2 files that cannot exist (data/sales.csv, data/rest.csv)"
