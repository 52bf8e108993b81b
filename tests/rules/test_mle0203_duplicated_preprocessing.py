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
    other = PREPARE.format(p="df").replace(" * ", " + ")
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


LINES = [f"    frame['c{n}'] = frame['a{n}'].fillna({n}).clip(0)\n" for n in range(10)]


def _training(name, lines):
    code = f"def {name}(frame):\n" + "".join(lines) + "    return frame\n"
    return code + "from sklearn.svm import SVC\n" + f"SVC().fit({name}(x), y)\n"


def test_a_copy_with_a_few_statements_of_its_own(check):
    own = "    frame = frame.join(other_table)\n    frame = frame.dropna(subset=['z'])\n"
    serve = SERVE.format(code="def prepare(frame):\n" + "".join(LINES) + own + "    return frame\n")
    (finding,) = check("MLE0203", {"train.py": _training("build", LINES), "app.py": serve})
    assert finding.severity.value == "medium"
    assert finding.title == "Most of `prepare` stands in app.py and in train.py"


def test_a_short_copy_has_to_bear_the_same_name(check):
    serve = SERVE.format(code="def prepare(frame):\n" + "".join(LINES[:5]) + "    return frame.sort_index(axis=1)\n")
    assert len(check("MLE0203", {"train.py": _training("prepare", LINES[:7]), "app.py": serve})) == 1
    assert check("MLE0203", {"train.py": _training("build", LINES[:7]), "app.py": serve}) == []


def test_a_few_statements_in_common_are_no_copy(check):
    own = [f"    frame['d{n}'] = frame['b{n}'].fillna({n}).clip(1)\n" for n in range(10)]
    serve = SERVE.format(code="def prepare(frame):\n" + "".join(LINES[:4] + own) + "    return frame\n")
    assert check("MLE0203", {"train.py": _training("prepare", LINES), "app.py": serve}) == []
