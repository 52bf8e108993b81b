PREPARE = (
    "def prepare({p}):\n" + "".join(f"    {{p}}['c{n}'] = {{p}}['c{n}'] * {n}\n" for n in range(8)) + "    return {p}\n"
)
TRAIN = "from sklearn.svm import SVC\n{code}SVC().fit(prepare(x), y)\n"
SERVE = (
    "import joblib\nfrom flask import Flask, request\napp = Flask(__name__)\n{code}@app.route('/p')\n"
    "def p():\n    return joblib.load('m').predict(prepare(request.json))\n"
)


def test_the_same_function_in_training_and_serving_whatever_its_variables_are_called(check, place):
    files = {
        "train.py": TRAIN.format(code=PREPARE.format(p="df")),
        "app.py": SERVE.format(code=PREPARE.format(p="frame")),
    }
    (finding,) = check("MLE0203", files)
    assert finding.severity.value == "medium"
    assert place(finding) == ("app.py", 4)
    assert "prepare" in finding.title


def test_between_two_trainings_it_is_low(check):
    code = TRAIN.format(code=PREPARE.format(p="df"))
    (finding,) = check("MLE0203", {"train_a.py": code, "train_b.py": code})
    assert finding.severity.value == "low"


def test_a_shared_function_and_different_ones_are_silent(check):
    shared = {"lib.py": PREPARE.format(p="df"), "train.py": TRAIN.format(code="from lib import prepare\n")}
    assert check("MLE0203", shared | {"app.py": SERVE.format(code="from lib import prepare\n")}) == []
    other = PREPARE.format(p="df").replace("* 3", "* 4")
    files = {"lib.py": "", "train.py": TRAIN.format(code=PREPARE.format(p="df")), "app.py": SERVE.format(code=other)}
    assert check("MLE0203", files) == []


def test_short_functions_are_silent(check):
    short = "def prepare(df):\n    df = df.dropna()\n    return df\n"
    assert check("MLE0203", {"train.py": TRAIN.format(code=short), "app.py": SERVE.format(code=short)}) == []


def test_an_equal_block_of_a_script(check):
    block = "".join(f"df['c{n}'] = df['c{n}'].fillna({n})\n" for n in range(9))
    head = "import pandas as pd\ndf = pd.read_csv('a.csv')\n"
    train = head + "from sklearn.svm import SVC\n" + block + "SVC().fit(df, df.y)\n"
    score = head + "import joblib\n" + block + "print(joblib.load('m').predict(df))\n"
    (finding,) = check("MLE0203", {"train.py": train, "score.py": score})
    assert finding.severity.value == "medium"


def test_a_network_that_training_and_serving_define_each_for_itself(check):
    network = (
        "class Net:\n    def __init__(self, n):\n        self.a = f(n)\n        self.b = f(3)\n        self.c = f(2)\n"
        "    def forward(self, x):\n        x = self.a(x)\n        x = self.b(x)\n        return self.c(x)\n"
    )
    files = {"train.py": TRAIN.format(code=network), "app.py": SERVE.format(code=network.replace("n)", "size)"))}
    (finding,) = check("MLE0203", files)
    assert finding.title == "`Net` stands in app.py and in train.py"
    assert check("MLE0203", {**files, "app.py": SERVE.format(code=network.replace("f(3)", "f(4)"))}) == []
