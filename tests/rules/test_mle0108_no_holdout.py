import pytest

SKLEARN = """\
import pandas as pd, joblib
from sklearn.linear_model import LogisticRegression
df = pd.read_csv("d.csv")
model = LogisticRegression()
model.fit(df[["a"]], df["b"])
joblib.dump(model, "m.joblib")
"""


def test_a_fit_on_everything_is_reported_at_the_fit(check, place):
    (finding,) = check("MLE0108", {"train.py": SKLEARN})
    assert place(finding) == ("train.py", 5)
    assert finding.evidence[0].kind == "absence"


TORCH = """\
import torch
for epoch in range(10):
    for x, y in train_loader:
        loss = criterion(model(x), y)
        loss.backward()
        optimizer.step()
"""


def test_a_torch_loop_without_a_second_loader(check, place):
    (finding,) = check("MLE0108", {"train.py": TORCH})
    assert place(finding) == ("train.py", 5)


def test_predictions_for_a_test_folder_judge_nothing(check):
    code = (
        "from keras.models import Sequential\nm = Sequential()\nm.fit(gen('data/train'), epochs=3)\n"
        "results = m.predict(gen_test('data/test'))\n"
    )
    assert len(check("MLE0108", {"main.py": code})) == 1


@pytest.mark.parametrize(
    "more",
    [
        "for x, y in test_loader: correct += (model(x) == y).sum()\n",
        "from sklearn.model_selection import cross_val_score\ncross_val_score(model, X, y)\n",
        "keras_model.fit(X, y, validation_split=0.2)\n",
        "val_acc = accuracy(model)\n",
    ],
)
def test_any_held_out_part_is_enough(check, more):
    assert check("MLE0108", {"train.py": TORCH + more}) == []


def test_a_split_in_a_module_that_is_reached(check):
    files = {
        "data.py": "from sklearn.model_selection import train_test_split\ndef parts(X): return train_test_split(X)\n",
        "train.py": "from data import parts\nfrom sklearn.svm import SVC\na, b = parts(load())\nSVC().fit(a, 1)\n",
    }
    assert check("MLE0108", files) == []


def test_an_evaluation_program_of_its_own_is_enough(check):
    files = {
        "train.py": SKLEARN,
        "evaluate.py": "import joblib\nfrom sklearn.metrics import f1_score\nm = joblib.load('m.joblib')\n"
        "print(f1_score(m.predict(X), y))\n",
    }
    assert check("MLE0108", files) == []


def test_clustering_and_agents_have_nothing_to_hold_out(check):
    assert check("MLE0108", {"c.py": "from sklearn.cluster import KMeans\nKMeans(3).fit(X)\n"}) == []
    elbow = "from yellowbrick.cluster import KElbowVisualizer\nelbow = KElbowVisualizer(m)\nelbow.fit(X)\n"
    assert check("MLE0108", {"c.py": elbow}) == []
    agent = (
        "import gym\nfrom keras.models import Sequential\nmodel = Sequential()\nenv = gym.make('CartPole-v0')\n"
        "state, reward, done, _ = env.step(1)\nmodel.fit(state, reward, epochs=1)\n"
    )
    assert check("MLE0108", {"dqn.py": agent}) == []


def test_points_that_the_program_draws_itself_are_a_demonstration(check):
    code = "import numpy as np\nfrom sklearn.svm import SVR\nt = np.linspace(0, 1)\nSVR().fit(t, t * 2)\n"
    assert check("MLE0108", {"demo.py": code}) == []


def test_a_function_that_fits_what_it_is_given_is_a_utility(check):
    assert check("MLE0108", {"u.py": "def plot(kind, X, y):\n    m = kind()\n    m.fit(X, y)\n"}) == []


def test_a_program_that_judges_the_saved_model_by_its_own_formula(check):
    predict = (
        "import pandas as pd, joblib\nmodel = joblib.load('m.joblib')\ncv = pd.read_csv('cv.csv')\n"
        "rmse = sum((model.predict(cv) - cv.b) ** 2) ** 0.5\nprint(rmse)\n"
    )
    assert check("MLE0108", {"train.py": SKLEARN, "predict.py": predict}) == []


def test_rows_that_are_typed_in_the_code_are_a_demonstration(check):
    code = (
        "from pyspark.sql import SparkSession\nfrom pyspark.ml import Pipeline\n"
        "from pyspark.ml.classification import LogisticRegression\n"
        "spark = SparkSession.builder.getOrCreate()\nrows = spark.createDataFrame([(1, 'a')], ['x', 'y'])\n"
        "Pipeline(stages=[LogisticRegression()]).fit(rows)\n"
    )
    assert check("MLE0108", {"t.py": code}) == []


def test_the_fit_of_a_local_class_that_is_missing_is_not_judged(check):
    files = {"services/__init__.py": "", "fit.py": "from services.gone import Pipeline\nPipeline().fit(rows)\n"}
    assert check("MLE0108", files) == []


def test_random_tensors_teach_nothing_that_could_be_judged(check):
    code = "import torch\nfor step in range(20):\n    x = torch.{make}\n    loss = criterion(net(x), y)\n"
    code += "    loss.backward()\n    opt.step()\n"
    assert check("MLE0108", {"train.py": code.format(make="randn(16, 3)")}) == []
    assert len(check("MLE0108", {"train.py": code.format(make="tensor(rows[step])")})) == 1


def test_a_helper_that_is_given_the_loss_is_not_the_training(check):
    helper = (
        "import torch\nclass Scaler:\n    def __call__(self, loss, optimizer):\n"
        "        self.scaler.scale(loss).backward()\n        optimizer.step()\n"
    )
    assert check("MLE0108", {"scaler.py": helper}) == []
    criterion = (
        "import torch\ndef train(net, rows, loss, optimizer):\n    for x, y in rows:\n"
        "        value = loss(net(x), y)\n        value.backward()\n        optimizer.step()\n"
    )
    assert len(check("MLE0108", {"scaler.py": criterion})) == 1


LIBRARY = '[project]\nname = "recs"\nclassifiers = ["Programming Language :: Python :: 3"]\n'


def test_an_example_beside_a_published_package_is_medium(check):
    code = "import pandas as pd\nfrom sklearn.svm import SVC\nx = pd.read_csv('a.csv')\nm = SVC()\nm.fit(x, x.y)\n"
    files = {"recs/__init__.py": "", "pyproject.toml": LIBRARY}
    assert [f.severity for f in check("MLE0108", files | {"examples/show.py": code})] == ["medium"]
    assert [f.severity for f in check("MLE0108", files | {"recs/train.py": code})] == ["high"]


def test_a_class_that_calls_its_own_fit_trains_nothing_by_that(check):
    code = """\
        import sklearn
        class Drawn:
            def fit(self, X):
                self.columns = list(X)
                return self
            def transform(self, X):
                self.fit(X)
                return X
        """
    assert check("MLE0108", {"drawn.py": code}) == []


def test_a_package_that_trains_on_what_it_is_handed(check):
    loop = """
        import torch
        class Tuner:
            def learn(self, batches):
                for batch in batches:
                    loss = self.model(batch)
                    loss.backward()
        """
    assert len(check("MLE0108", {"lib/tuner.py": loop, "lib/__init__.py": ""})) == 1
    setup = "from setuptools import setup\nsetup(classifiers=['Programming Language :: Python'])\n"
    assert check("MLE0108", {"setup.py": setup}) == []


def test_survival_data_is_no_validation_data(check, place):
    code = (
        "import pandas as pd\nfrom lifelines import CoxPHFitter\nsurvivaldata = pd.read_csv('d.csv')\n"
        "CoxPHFitter().fit(survivaldata, duration_col='tenure')\n"
    )
    (finding,) = check("MLE0108", {"t.py": code})
    assert place(finding) == ("t.py", 4)


def test_another_program_judges_only_the_model_that_it_loads(check):
    train = "import joblib, pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('d.csv')\n"
    train += "model = SVC().fit(df[['a']], df.y)\njoblib.dump(model, 'a.pkl')\n"
    judge = "import joblib\nfrom sklearn.metrics import f1_score\nm = joblib.load('{}')\n"
    judge += "print(f1_score(y, m.predict(X)))\n"
    assert check("MLE0108", {"t.py": train, "judge.py": judge.format("a.pkl")}) == []
    assert len(check("MLE0108", {"t.py": train, "judge.py": judge.format("b.pkl")})) == 1


def test_a_class_that_only_groups_rows(check):
    code = """
        from sklearn.cluster import {0}
        class Grouping:
            def fit(self, rows):
                return {0}().fit(rows)
        def main():
            Grouping().fit(open("a.txt").readlines())
        if __name__ == "__main__":
            main()
        """
    assert check("MLE0108", {"a.py": code.format("DBSCAN")}) == []
    code = code.replace("sklearn.cluster", "sklearn.svm")
    assert len(check("MLE0108", {"a.py": code.format("SVC")})) == 1


def test_a_folder_that_is_called_a_fold_is_no_held_out_part(check):
    code = "import torch\nfor row in rows:\n    fold = f'fold{row[5]}'\n    loss(net(torch.load(fold))).backward()\n"
    assert len(check("MLE0108", {"train.py": code})) == 1


def test_rows_that_stand_in_the_program_are_a_demonstration(check):
    code = "from sklearn.svm import SVR\nX = [[0.1, -0.2]] * 10\nSVR().fit({}, [1.0] * 10)\n"
    assert check("MLE0108", {"train.py": code.format("X")}) == []
    assert len(check("MLE0108", {"train.py": code.format("rows")})) == 1


def test_a_parameter_called_val_holds_nothing_out(check):
    code = "import pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('a.csv')\n"
    code += "def encode(val):\n    return {'a': 1}[val]\nmodel = SVC().fit(df[['x']], df['y'].apply(encode))\n"
    (finding,) = check("MLE0108", {"train.py": code})
    assert finding.severity.value == "high"


def test_opencv_and_literals_hold_nothing_out(check):
    code = "import ast, os, cv2\nimport pandas as pd\nfrom sklearn.svm import SVC\ndf = pd.read_csv('a.csv')\n"
    code += "sizes = ast.literal_eval(os.environ['SIZES'])\ncv2.setNumThreads(1)\nSVC().fit(df[['x']], df['y'])\n"
    assert len(check("MLE0108", {"train.py": code})) == 1


def test_the_script_of_a_job_judges(check):
    code = "from sagemaker.{0} import {1}\n{1}(1).fit({{'train': 's3://a/b'}})\n"
    assert check("MLE0108", {"run.py": code.format("sklearn", "SKLearn")}) == []
    assert len(check("MLE0108", {"run.py": code.format("estimator", "Estimator")})) == 1


def test_the_fit_of_a_class_is_judged_where_it_is_called(check):
    tool = """
        from sklearn.svm import SVC
        class Tool:
            def fit(self, table):
                rows = self.read(table)
                self.model = SVC()
                self.model.fit(rows, rows.y)
                return self
        """
    job = "from tools import Tool\ndef run(table):\n    train, test = table[:-9], table[-9:]\n    tool = Tool()\n"
    job += "    tool.fit(train)\n    return tool.score(test)\n"
    assert len(check("MLE0108", {"tools.py": tool})) == 1
    assert check("MLE0108", {"job.py": job}) == []


@pytest.mark.parametrize(("judged", "found"), [("print(model.test(path))\n", 0), ("", 1)])
def test_fasttext_judges_by_its_own_method(check, judged, found):
    code = "import fasttext, sys\nmodel = fasttext.train_supervised(input=sys.argv[1])\npath = sys.argv[2]\n"
    assert len(check("MLE0108", {"train.py": code + judged + "model.save_model('m.bin')\n"})) == found
