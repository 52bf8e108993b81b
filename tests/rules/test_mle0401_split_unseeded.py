import pytest

HEAD = "from sklearn.model_selection import train_test_split, KFold\n"


def test_a_split_without_a_seed(check, place):
    (finding,) = check("MLE0401", {"t.py": HEAD + "a, b = train_test_split(X)\n"})
    assert place(finding) == ("t.py", 2)
    assert finding.severity == "medium"


def test_a_dataset_of_hugging_face_needs_a_seed_too(check, place):
    code = "from datasets import load_dataset\nd = load_dataset('x')['train']\np = d.train_test_split(test_size=0.1)\n"
    (finding,) = check("MLE0401", {"t.py": code})
    assert place(finding) == ("t.py", 3)


def test_a_random_split_of_torch_belongs_to_the_seed_of_torch(check):
    assert (
        check("MLE0401", {"t.py": "from torch.utils.data import random_split\na, b = random_split(d, [8, 2])\n"}) == []
    )


def test_a_global_seed_makes_it_low(check):
    code = "import numpy as np\nnp.random.seed(1)\n" + HEAD + "a, b = train_test_split(X)\n"
    (finding,) = check("MLE0401", {"t.py": code})
    assert finding.severity == "low"


@pytest.mark.parametrize(
    "code",
    [
        HEAD + "a, b = train_test_split(X, random_state=7)\n",
        HEAD + "a, b = train_test_split(X, random_state=args.seed)\n",
        HEAD + "a, b = train_test_split(X, shuffle=False)\n",
        HEAD + "folds = KFold(5)\n",
        HEAD + "a, b = train_test_split(X, **options)\n",
        "p = data['train'].train_test_split(test_size=100, shuffle=True, seed=42)\n",
    ],
)
def test_seeded_or_ordered_splits_are_right(check, code):
    assert check("MLE0401", {"t.py": code}) == []


BY_HAND = """\
import numpy as np
rows = load()
np.random.shuffle(rows)
train, valid, test = np.split(rows, [70, 85])
"""


def test_rows_that_are_shuffled_and_cut_by_hand(check, place):
    (finding,) = check("MLE0401", {"p.py": BY_HAND})
    assert (place(finding), finding.severity) == (("p.py", 3), "medium")


def test_a_seed_before_a_split_by_hand_is_enough(check):
    assert check("MLE0401", {"p.py": BY_HAND.replace("rows = load()", "np.random.seed(1); rows = load()")}) == []


def test_rows_that_are_cut_in_their_order_need_no_seed(check):
    assert check("MLE0401", {"p.py": BY_HAND.replace("np.random.shuffle(rows)\n", "")}) == []


def test_a_method_of_ones_own_is_judged_where_it_splits(check, place):
    own = (
        HEAD
        + "class Data:\n    @staticmethod\n    def train_test_split(x, y, test_size):\n"
        + "        return train_test_split(x, y{seed})\n"
    )
    use = "from data import Data\na, b = Data.train_test_split(X, y, test_size=0.2)\n"
    assert check("MLE0401", {"data.py": own.format(seed=", random_state=0"), "t.py": use}) == []
    (finding,) = check("MLE0401", {"data.py": own.format(seed=""), "t.py": use})
    assert place(finding) == ("data.py", 5)


def test_a_program_that_makes_its_parts_by_their_names_may_seed_them(check):
    inside = "".join(f"        {line}\n" for line in BY_HAND.splitlines()[1:])
    files = {
        "data.py": f"import numpy as np\nclass Rows:\n    def setup(self):\n{inside}",
        "train.py": "import hydra\nimport lightning as L\nL.seed_everything(1)\nhydra.utils.instantiate(cfg.data)\n",
    }
    assert check("MLE0401", files) == []
    assert len(check("MLE0401", files | {"train.py": files["train.py"].replace("L.seed_everything(1)\n", "")})) == 1
    assert len(check("MLE0401", files | {"train.py": "L.seed_everything(1)\n", "data.py": BY_HAND})) == 1


MIXED = """\
import pandas as pd
from sklearn.model_selection import StratifiedKFold
df = pd.read_csv("d.csv")
df = df.sample(frac=1{seed}).reset_index(drop=True)
for a, b in StratifiedKFold(5).split(df, df["y"]):
    pass
"""


def test_rows_that_are_mixed_before_the_folds(check, place):
    (finding,) = check("MLE0401", {"folds.py": MIXED.format(seed="")})
    assert place(finding) == ("folds.py", 4)
    assert check("MLE0401", {"folds.py": MIXED.format(seed=", random_state=7")}) == []
    assert len(check("MLE0401", {"folds.py": MIXED.format(seed="").replace("split(df,", "split(X=df, y=")})) == 1


def test_torchtext_divides_at_random(check, place):
    code = "from torchtext import datasets\na, test = datasets.IMDB.splits(TEXT, LABEL)\na, valid = a.split({})\n"
    (finding,) = check("MLE0401", {"load.py": code.format("")})
    assert place(finding) == ("load.py", 3)
    assert check("MLE0401", {"load.py": code.format("random_state=random.seed(1)")}) == []


def test_rows_that_spark_divides(check, place):
    code = "import random\nrandom.seed(1)\na, b = spark.read.csv('d.csv').randomSplit([0.8, 0.2]{})\n"
    (finding,) = check("MLE0401", {"t.py": code.format("")})
    assert place(finding) == ("t.py", 3)
    assert finding.severity.value == "medium"
    assert check("MLE0401", {"t.py": code.format(", 42")}) == []


def test_repeated_folds_are_mixed_and_a_split_under_the_name_of_a_helper(check):
    folds = "from sklearn.model_selection import RepeatedKFold\nkf = RepeatedKFold(n_splits=3, random_state={})\n"
    assert len(check("MLE0401", {"t.py": folds.format(None)})) == 1
    assert check("MLE0401", {"t.py": folds.format(4)}) == []
    assert (
        check("MLE0401", {"t.py": "import tools as t\na, b = t.train_test_split(X, test_size=1, random_state=5)\n"})
        == []
    )
