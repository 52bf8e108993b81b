FIT = "from sklearn.svm import SVC\nfrom sklearn.metrics import f1_score\nm = SVC()\nm.fit(X, y)\n"


def test_a_score_on_the_rows_of_the_fit(check, place):
    (finding,) = check("MLE0117", {"t.py": FIT + "print(m.score(X, y))\n"})
    assert place(finding) == ("t.py", 5)
    assert finding.severity == "high"


def test_a_metric_of_predictions_for_the_rows_of_the_fit(check, place):
    (finding,) = check("MLE0117", {"t.py": FIT + "p = m.predict(X)\nprint(f1_score(y, p))\n"})
    assert place(finding) == ("t.py", 6)


def test_a_training_score_beside_a_test_score_is_right(check):
    assert check("MLE0117", {"t.py": FIT + "print(m.score(X, y), m.score(X_test, y_test))\n"}) == []


def test_other_rows_under_the_same_name(check):
    assert check("MLE0117", {"t.py": FIT + "X, y = load('test')\nprint(m.score(X, y))\n"}) == []


LOADERS = """\
from torchvision.datasets import ImageFolder
train_set = ImageFolder("data/train", transform=augment)
test_set = ImageFolder("data/{part}", transform=plain)
loss.backward()
"""


def test_a_test_set_from_the_training_folder(check, place):
    (finding,) = check("MLE0117", {"t.py": LOADERS.format(part="train")})
    assert place(finding) == ("t.py", 3)


def test_a_test_set_from_its_own_folder_is_right(check):
    assert check("MLE0117", {"t.py": LOADERS.format(part="test")}) == []


def test_the_validation_data_is_the_training_data(check, place):
    code = "from keras.models import Sequential\nm = Sequential()\nm.fit(X, y, validation_data=(X, y))\n"
    (finding,) = check("MLE0117", {"t.py": code})
    assert place(finding) == ("t.py", 3)


TRAIN = """\
import argparse, pandas as pd, joblib
from sklearn.svm import SVC
from sklearn.model_selection import train_test_split
parser = argparse.ArgumentParser()
parser.add_argument("--data", default="data/all.csv")
args = parser.parse_args()
df = pd.read_csv(args.data)
train, test = train_test_split(df)
model = SVC()
model.fit(train[["a"]], train["b"])
joblib.dump(model, "m.joblib")
"""
EVALUATE = """\
import joblib, pandas as pd
from sklearn.metrics import f1_score
df = pd.read_csv("{path}")
model = joblib.load("m.joblib")
print(f1_score(df["b"], model.predict(df[["a"]])))
"""


def test_an_evaluation_that_reads_what_training_reads(check, place):
    (finding,) = check("MLE0117", {"train.py": TRAIN, "evaluate.py": EVALUATE.format(path="data/all.csv")})
    assert place(finding) == ("evaluate.py", 3)


def test_an_evaluation_that_reads_its_own_file_is_right(check):
    assert check("MLE0117", {"train.py": TRAIN, "evaluate.py": EVALUATE.format(path="data/held_out.csv")}) == []


def test_a_second_look_at_the_training_rows_is_named_so(check):
    code = LOADERS.format(part="train").replace("test_set", "train_eval_set")
    assert check("MLE0117", {"t.py": code}) == []


def test_a_file_name_behind_an_unknown_folder_says_nothing(check):
    train = "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv(f'{RAW}/train.csv')\nSVC().fit(df, 1)\n"
    judge = (
        "import pandas as pd, joblib\nfrom sklearn.metrics import f1_score\nm = joblib.load('m')\n"
        "df = pd.read_csv(f'{FEATURES}/train.csv')\nf1_score(df.y, m.predict(df))\n"
    )
    assert check("MLE0117", {"train.py": train, "judge.py": judge}) == []


LEFT = (
    "from sklearn.model_selection import train_test_split\nfrom sklearn.linear_model import LinearRegression\n"
    "from sklearn import metrics\nX_train, X_test, y_train, y_test = train_test_split(X, y)\n"
    "lm = LinearRegression()\nlm.fit(X_train, y_train)\nguess = lm.predict(X_train)\n"
    "print(X_test.shape, metrics.r2_score(y_train, guess))\n"
)


def test_a_test_half_that_is_made_and_never_judged(check, place):
    (finding,) = check("MLE0117", {"t.py": LEFT})
    assert place(finding) == ("t.py", 8)


def test_a_test_half_that_goes_elsewhere_may_be_judged_there(check):
    assert check("MLE0117", {"t.py": LEFT + "judge(lm, X_test, y_test)\n"}) == []


def test_what_an_estimator_works_out_in_its_own_fit_is_no_judgement(check):
    code = """\
        from sklearn.base import clone
        from sklearn.metrics import confusion_matrix
        class Balancer:
            def {name}(self, X, y):
                self.model = clone(self.inner).fit(X, y)
                self.cfm = confusion_matrix(y, self.model.predict(X))
                return self
        """
    assert check("MLE0117", {"a.py": code.format(name="fit")}) == []
    assert len(check("MLE0117", {"a.py": code.format(name="report")})) == 1


def test_a_page_of_a_library_weighs_less(check):
    code = "from sklearn.svm import SVC\nm = SVC()\nm.fit(X, y)\nprint(m.score(X, y))\n"
    project = '[project]\nname = "lib"\nclassifiers = ["Programming Language :: Python :: 3"]\n'
    files = {"pyproject.toml": project, "lib/__init__.py": "", "docs/a.py": code, "lib/a.py": code}
    found = {f.evidence[0].path: f.severity for f in check("MLE0117", files)}
    assert found == {"docs/a.py": "medium", "lib/a.py": "high"}


def test_a_helper_that_divides_what_evaluation_reads(check):
    train = "import joblib, pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('d/all.csv')\n"
    train += "train = df.iloc[:80]\njoblib.dump(SVC().fit(train, train.y), 'm.pkl')\n"
    judge = (
        "import joblib, pandas as pd\nfrom sklearn.metrics import f1_score\n{}m = joblib.load('m.pkl')\n"
        "df = pd.read_csv('d/all.csv')\n{}print(f1_score(val_df.y, m.predict(val_df)))\n"
    )
    split = "def time_split(df):\n    return df.iloc[:80], df.iloc[80:]\n"
    divided = judge.format(split, "train_df, val_df = time_split(df)\n")
    assert check("MLE0117", {"train.py": train, "judge.py": divided}) == []
    assert len(check("MLE0117", {"train.py": train, "judge.py": judge.format("", "val_df = df\n")})) == 1


def test_training_rows_beside_the_held_out_ones(check):
    train = "import joblib, pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('d/train.csv')\n"
    train += "joblib.dump(SVC().fit(df, df.y), 'm.pkl')\n"
    judge = "import joblib, pandas as pd\nfrom sklearn.metrics import f1_score\nm = joblib.load('m.pkl')\n{}"
    judge += "df = pd.read_csv('d/train.csv')\nprint(f1_score(df.y, m.predict(df)))\n"
    held_out = "other = pd.read_csv('d/val.csv')\nprint(f1_score(other.y, m.predict(other)))\n"
    assert len(check("MLE0117", {"train.py": train, "judge.py": judge.format("")})) == 1
    assert check("MLE0117", {"train.py": train, "judge.py": judge.format(held_out)}) == []


def test_parts_of_one_folder_that_a_data_set_is_asked_for(check):
    load = "import torch\nfrom data import VOCDataset\nmodel = torch.load('m.pt')\n"
    files = {
        "data.py": "class VOCDataset:\n    def __init__(self, folder, split):\n        self.folder = folder\n",
        "train.py": "import torch\nfrom data import VOCDataset\nrows = VOCDataset('./voc', split='train')\n"
        "loss.backward()\ntorch.save(model, 'm.pt')\n",
        "eval.py": load + "rows = VOCDataset('./voc', split='test')\nprint(model.evaluate(rows))\n",
    }
    assert check("MLE0117", files) == []
    same = files["eval.py"].replace("'test'", "'train'")
    assert len(check("MLE0117", {**files, "eval.py": same})) == 1


def test_figures_called_those_of_training_beside_a_program_that_evaluates(check):
    train = """
        import mlflow
        from sklearn.svm import SVC
        from sklearn.metrics import r2_score
        model = SVC()
        model.fit(X, y)
        mlflow.log_metric("train r2", r2_score(y, model.predict(X)))
        """
    assert len(check("MLE0117", {"train.py": train})) == 1
    judge = "import joblib\nfrom sklearn.metrics import r2_score\nprint(r2_score(y, joblib.load('m').predict(X)))\n"
    assert check("MLE0117", {"evaluate.py": judge}) == []


def test_rows_of_one_folder_that_samplers_take_apart(check):
    code = """
        import torch
        from torchvision.datasets import ImageFolder
        train_set = ImageFolder("images", transform=a)
        valid_set = ImageFolder("images", transform=b)
        train = torch.utils.data.DataLoader(train_set, sampler=SubsetRandomSampler(first))
        valid = torch.utils.data.DataLoader(valid_set, sampler=SubsetRandomSampler(second))
        loss.backward()
        """
    assert check("MLE0117", {"t.py": code}) == []
    assert len(check("MLE0117", {"t.py": code.replace("sampler=", "extra=")})) == 1


def test_the_short_way_of_a_trial_run(check):
    code = """
        from data import Dataset
        if args.quick:
            train_set = Dataset("test", "gpt2")
        else:
            train_set = Dataset("{}", "gpt2")
        test_set = Dataset("test", "gpt2")
        loss.backward()
        """
    assert check("MLE0117", {"t.py": code.format("train")}) == []
    assert len(check("MLE0117", {"t.py": code.format("test")})) == 1
