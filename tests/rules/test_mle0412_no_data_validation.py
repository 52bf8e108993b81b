import pytest

TRAIN = """\
import pandas as pd
from sklearn.svm import SVC
df = pd.read_csv("d.csv")
df = df.dropna().astype(float)
{check}
SVC().fit(df[["a"]], df["b"])
"""


def test_what_is_read_is_fitted_unseen(check, place):
    (finding,) = check("MLE0412", {"t.py": TRAIN.format(check="pass")})
    assert place(finding) == ("t.py", 3)
    assert finding.severity == "medium" and finding.confidence == "high"


@pytest.mark.parametrize(
    "line",
    [
        "assert df['a'].between(0, 1).all()",
        "if df.isnull().any().any(): raise ValueError('missing values')",
        "import pandera as pa; schema.validate(df)",
        "if set(df.columns) != set(WANTED): raise ValueError('columns')",
    ],
)
def test_any_check_is_enough(check, line):
    assert check("MLE0412", {"t.py": TRAIN.format(check=line)}) == []


def test_types_given_to_the_reader_are_a_check(check):
    assert check("MLE0412", {"t.py": TRAIN.format(check="pass").replace('"d.csv"', '"d.csv", dtype=TYPES')}) == []


def test_a_check_in_a_module_that_is_reached(check):
    files = {
        "load.py": "import pandas\ndef load():\n    d = pandas.read_csv('d')\n    assert not d.empty\n    return d\n",
        "t.py": "from load import load\nfrom sklearn.svm import SVC\nSVC().fit(load(), y)\n",
    }
    assert check("MLE0412", files) == []


def test_a_json_of_data_in_a_torch_program(check, place):
    code = (
        "import json\nwith open('intents.json') as f:\n    intents = json.load(f)\n"
        "with open('config.json') as f:\n    config = json.load(f)\nfor x in intents:\n    loss(x).backward()\n"
        "with open('out/train_stats.json') as f:\n    curves = json.load(f)\n"
    )
    (finding,) = check("MLE0412", {"t.py": code})
    assert place(finding) == ("t.py", 3)
    assert len(finding.evidence) == 1


def test_a_dataset_that_a_library_verifies_is_no_read(check):
    code = "from torchvision import datasets\nd = datasets.MNIST('data')\nfor x in d:\n    f(x).backward()\n"
    assert check("MLE0412", {"t.py": code}) == []


def test_methods_of_a_table_are_no_further_reads(check):
    code = (
        "import dask.dataframe as dd\nfrom sklearn.svm import SVC\ndf = dd.read_csv('d.csv')\n"
        "X = df[['a']].compute()\nSVC().fit(X, df['b'].compute())\n"
    )
    (finding,) = check("MLE0412", {"t.py": code})
    assert len(finding.evidence) == 1


LOOP = "for x in DataLoader(Slices('train')):\n    loss(x).backward()\n"
SLICES = """\
import torch
from skimage.io import imread
from torch.utils.data import Dataset
class Slices(Dataset):
    def __init__(self, folder, subset="train"):
        assert subset in ("train", "test")
        self.names = sorted(folder)
    def __getitem__(self, index):
        picture = {read}
        return picture
    def show(self):
        return imread("one.png")
"""


def test_pictures_that_a_data_set_opens_unseen(check, place):
    files = {"slices.py": SLICES.format(read="imread(self.names[index])"), "t.py": f"from slices import Slices\n{LOOP}"}
    (finding,) = check("MLE0412", files)
    assert place(finding) == ("slices.py", 9) and len(finding.evidence) == 1
    assert finding.severity == "medium" and finding.confidence == "medium"


@pytest.mark.parametrize(
    "read",
    [
        "imread(self.names[index])\n        assert picture.shape == (256, 256)",
        "imread(self.names[index])\n        if picture is None:\n            raise ValueError(index)",
        "torch.rand(3)",
    ],
)
def test_pictures_that_are_looked_at_or_not_read(check, read):
    files = {"slices.py": SLICES.format(read=read), "t.py": f"from slices import Slices\n{LOOP}"}
    assert check("MLE0412", files) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("df = df[df.age.notnull()]", 1),
        ("for c in df:\n    if pd.isna(df[c].min()):\n        continue", 1),
        ("for c in df:\n    if pd.isna(df[c].min()):\n        print(c)", 0),
        ("print(df.isnull().sum())", 0),
        ("broken = df.isna().any().any()", 0),
    ],
)
def test_a_mask_that_chooses_rows_is_no_check(check, line, found):
    code = f"import pandas as pd\nimport lightgbm as lgb\ndf = pd.read_csv('d.csv')\n{line}\n"
    assert len(check("MLE0412", {"t.py": code + "lgb.train({}, lgb.Dataset(df[['a']], df.y))\n"})) == found


def test_an_assertion_about_the_answer_is_no_check_of_the_data(check):
    code = (
        "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('d.csv')\nm = SVC().fit(df[['a']], df.y)\n"
    )
    assert len(check("MLE0412", {"t.py": code + "assert len(m.predict(df[['a']])) == 1\n"})) == 1
    assert check("MLE0412", {"t.py": code + "assert len(df) > 1\n"}) == []


def test_an_array_that_goes_into_a_fit(check, place):
    code = (
        "import numpy as np\nfrom sklearn.svm import SVC\ndef load():\n    return np.load('x.npy'), np.load('y.npy')\n"
    )
    (finding,) = check("MLE0412", {"t.py": code + "x, y = load()\nSVC().fit(x, y)\n"})
    assert place(finding) == ("t.py", 4)


def test_a_library_that_watches_live_data_checks_no_training(check):
    train = "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('a.csv')\nSVC().fit(df, df.y)\n"
    watch = "from evidently.dashboard import Dashboard\nDashboard([]).calculate(a, b)\n"
    assert len(check("MLE0412", {"train.py": train, "watch.py": watch})) == 1
    suite = "from evidently.test_suite import TestSuite\nTestSuite([]).run(a, b)\n"
    assert check("MLE0412", {"train.py": train, "watch.py": suite}) == []


def test_a_pass_of_the_network_checks_no_data(check):
    net = (
        "import torch\nclass N(torch.nn.Module):\n    def forward(self, h):\n        assert not torch.isnan(h).any()\n"
    )
    code = "import numpy as np\nimport torch\nfrom net import N\nrows = np.genfromtxt('cora.csv')\n"
    files = {"net.py": net, "train.py": code + "loss(N()(rows)).backward()\n"}
    assert len(check("MLE0412", files)) == 1


def test_pictures_that_a_foreign_helper_opens(check, place):
    code = "import torch\nfrom helpers.images import load_rgb\nclass Rows:\n    def __getitem__(self, i):\n"
    code += "        return load_rgb(self.paths[i])\nfor x in Rows():\n    loss(x).backward()\n"
    (finding,) = check("MLE0412", {"train.py": code})
    assert place(finding) == ("train.py", 5)


def test_pictures_that_a_script_gathers_itself(check, place):
    code = (
        "from tensorflow.keras.preprocessing.image import load_img\nfrom sklearn.svm import SVC\nx = []\n"
        "for path in paths:\n    x.append(load_img(path))\nSVC().fit(x, y)\n"
    )
    (finding,) = check("MLE0412", {"train.py": code})
    assert place(finding) == ("train.py", 5)


def test_fasttext_reads_its_file_itself(check, place):
    (finding,) = check("MLE0412", {"t.py": "import fasttext\nm = fasttext.train_supervised(input=PATH, lr=1.0)\n"})
    assert place(finding) == ("t.py", 2)
