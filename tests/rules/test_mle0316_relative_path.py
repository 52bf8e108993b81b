import pytest

FIT = "from sklearn.svm import SVC\nimport pandas as pd\nSVC().fit([[0], [1]], [0, 1])\n"


@pytest.mark.parametrize(
    "line",
    [
        "df = pd.read_csv('data/a.csv')",
        "import os\ndf = pd.read_csv(os.path.join('data', 'a.csv'))",
        "import yaml\ncfg = yaml.safe_load(open('params.yaml'))",
        "DATA = '../data/a.csv'\ndf = pd.read_csv(DATA)",
    ],
)
def test_a_path_that_depends_on_the_working_directory_is_low(check, place, line):
    (finding,) = check("MLE0316", {"train.py": FIT + line + "\n"})
    assert finding.severity.value == "low"
    assert place(finding)[1] == 4 + line.count("\n")


@pytest.mark.parametrize(
    "line",
    [
        "df = pd.read_csv('/data/a.csv')",
        "df = pd.read_csv('https://x.org/a.csv')",
        "from pathlib import Path\ndf = pd.read_csv(Path(__file__).parent / 'a.csv')",
        "open('log.txt', 'w')",
        "import os\nos.chdir(os.path.dirname(__file__))\ndf = pd.read_csv('a.csv')",
        "df = pd.read_csv(path)",
    ],
)
def test_anchored_written_and_unknown_paths_are_silent(check, line):
    assert check("MLE0316", {"train.py": FIT + line + "\n"}) == []


def test_code_that_neither_trains_nor_serves_is_silent(check):
    assert check("MLE0316", {"train.py": FIT, "tool.py": "f = open('a.csv')\n"}) == []
