import pytest


def test_a_scaler_fitted_on_all_rows_is_reported_at_its_fit(check, place):
    (finding,) = check(
        "MLE0101",
        {
            "train.py": """\
            import pandas as pd
            from sklearn.preprocessing import StandardScaler
            from sklearn.model_selection import train_test_split
            df = pd.read_csv("d.csv")
            X, y = df.drop("y", axis=1), df["y"]
            X = StandardScaler().fit_transform(X)
            X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
            """
        },
    )
    assert place(finding) == ("train.py", 6)
    assert finding.severity == "high"
    assert finding.evidence[-1].line_start == 7


def test_fit_then_transform_through_a_helper_function_is_the_same(check, place):
    (finding,) = check(
        "MLE0101",
        {
            "prep.py": """\
            from sklearn.decomposition import PCA
            def reduce(X):
                pca = PCA(3)
                pca.fit(X)
                return pca.transform(X)
            """,
            "train.py": """\
            from prep import reduce
            from sklearn.model_selection import cross_val_score
            X = reduce(load())
            cross_val_score(model, X, y)
            """,
        },
    )
    assert place(finding) == ("prep.py", 4)


def test_a_hand_made_split_counts(check, place):
    (finding,) = check(
        "MLE0101",
        {
            "train.py": """\
            import numpy as np
            from sklearn.preprocessing import MinMaxScaler
            X = MinMaxScaler().fit_transform(load())
            np.random.shuffle(X)
            X_train, X_test = X[:800], X[800:]
            """
        },
    )
    assert place(finding) == ("train.py", 3)


def test_categories_alone_are_low(check):
    (finding,) = check(
        "MLE0101",
        {
            "train.py": """\
            from sklearn.preprocessing import OneHotEncoder
            from sklearn.model_selection import train_test_split
            X = OneHotEncoder().fit_transform(load())
            a, b = train_test_split(X)
            """
        },
    )
    assert finding.severity == "low"


@pytest.mark.parametrize(
    "body",
    [
        # fitted after the split, on the training half
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        X_train = StandardScaler().fit_transform(X_train)
        """,
        # a second split of the training half
        """
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        X_train = StandardScaler().fit_transform(X_train)
        a, b, c, d = train_test_split(X_train, y_train)
        """,
        # the scaler stands before the split in the text, but what it gives is not what is split
        """
        def scaled(X):
            return StandardScaler().fit_transform(X)
        plot(scaled(X))
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        X_train = scaled(X_train)
        """,
        # only the target is encoded
        """
        y = LabelEncoder().fit_transform(y)
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        """,
        # a pipeline is no fitted transformer
        """
        model = Pipeline([("s", StandardScaler()), ("m", LogisticRegression())])
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        model.fit(X_train, y_train)
        """,
        # learns nothing
        """
        X = HashingVectorizer().fit_transform(X)
        X_train, X_test, y_train, y_test = train_test_split(X, y)
        """,
    ],
)
def test_what_learns_nothing_of_the_test_rows_is_no_leak(check, body):
    import textwrap

    head = (
        "from sklearn.preprocessing import StandardScaler, LabelEncoder\n"
        "from sklearn.feature_extraction.text import HashingVectorizer\n"
        "from sklearn.pipeline import Pipeline\n"
        "from sklearn.linear_model import LogisticRegression\n"
        "from sklearn.model_selection import train_test_split\n"
        "X, y = load()\n"
    )
    assert check("MLE0101", {"train.py": head + textwrap.dedent(body)}) == []


FEATURES = """\
import pandas as pd, yaml
from sklearn.preprocessing import StandardScaler
params = yaml.safe_load(open("params.yaml"))
def scale(df):
    scaler = StandardScaler()
    scaler.fit(df[["a"]])
    df[["a"]] = scaler.transform(df[["a"]])
    return df
path = {place}
scale(pd.read_csv("raw.csv")).to_csv(path)
"""
SPLIT = """\
import pandas as pd, yaml
from sklearn.model_selection import train_test_split
params = yaml.safe_load(open("params.yaml"))
df = pd.read_csv({place})
train, test = train_test_split(df, random_state=0)
"""


@pytest.mark.parametrize(
    ("wrote", "reads", "found"),
    [
        ('params["features"]["path"]', 'params["features"]["path"]', True),
        ('"data/features.csv"', '"../data/features.csv"', True),
        ('params["features"]["path"]', 'params["raw"]["path"]', False),
        ('"data/features.csv"', '"data/raw.csv"', False),
    ],
)
def test_a_step_before_fits_on_all_rows(check, place, wrote, reads, found):
    files = {"features.py": FEATURES.format(place=wrote), "split.py": SPLIT.format(place=reads)}
    findings = check("MLE0101", files)
    assert [place(finding) for finding in findings] == ([("features.py", 6)] if found else [])


FOLDS = """\
import pandas as pd
from sklearn.model_selection import cross_val_score
from sklearn.preprocessing import StandardScaler
train = pd.read_csv("train.csv")
X = StandardScaler().fit_transform(train[["a"]])
cross_val_score(model, X, train["y"])
"""


def test_a_table_that_is_only_called_train(check, place):
    (finding,) = check("MLE0101", {"t.py": FOLDS})
    assert place(finding) == ("t.py", 5)
    assert check("MLE0101", {"t.py": FOLDS, "s.py": SPLIT.format(place='"all.csv"')}) == []


JOINED = """\
import pandas as pd
from sklearn.decomposition import TruncatedSVD
from sklearn.model_selection import train_test_split
{halves}
def reduce(train, test):
    both = pd.concat([train, test])
    return TruncatedSVD(2).fit_transform(both)
reduce({first}, {second})
"""


@pytest.mark.parametrize(
    ("halves", "severity"),
    [
        ("X_train, X_test = train_test_split(pd.read_csv('all.csv'))", "high"),
        ("X_train, X_test = pd.read_csv('train.csv'), pd.read_csv('test.csv')", "medium"),
    ],
)
def test_a_helper_fits_on_training_and_held_out_rows(check, place, halves, severity):
    code = JOINED.format(halves=halves, first="X_train", second="X_test")
    (finding,) = check("MLE0101", {"t.py": code})
    assert (place(finding), finding.severity.value) == (("t.py", 7), severity)
    assert check("MLE0101", {"t.py": code.replace("[train, test]", "[train, train]")}) == []


def test_rows_that_spark_divides(check, place):
    code = (
        "import pandas as pd\nfrom sklearn.impute import SimpleImputer\ndf = pd.read_csv('a.csv')\n"
        "df.iloc[:, 1] = SimpleImputer().fit_transform(df[['a']])\n"
        "rows = spark.createDataFrame(df)\ntrain, test = rows.randomSplit([0.8, 0.2], 24)\n"
    )
    (finding,) = check("MLE0101", {"t.py": code})
    assert place(finding) == ("t.py", 4)


def test_columns_of_which_only_categories_are_encoded(check):
    code = (
        "import pandas as pd\nfrom sklearn.compose import ColumnTransformer\n"
        "from sklearn.model_selection import train_test_split\n"
        "from sklearn.preprocessing import OneHotEncoder, StandardScaler\ndf = pd.read_csv('a.csv')\n"
        "ct = ColumnTransformer([('c', OneHotEncoder(), ['a'])], remainder='passthrough')\n"
        "X = ct.fit_transform(df)\nX_train, X_test = train_test_split(X, random_state=1)\n"
    )
    for changed, severity in (
        (code, "low"),
        (code.replace("['a'])", "['a']), ('n', StandardScaler(), ['b'])"), "high"),
    ):
        (finding,) = check("MLE0101", {"t.py": changed})
        assert finding.severity.value == severity


@pytest.mark.parametrize(
    ("made", "count"),
    [
        ("make_column_transformer((MinMaxScaler(), ['a']), (OneHotEncoder(), ['b']))", 1),
        ("Pipeline([('scale', StandardScaler())])", 1),
        ("Pipeline([('poly', PolynomialFeatures())])", 0),
    ],
)
def test_what_a_composition_holds_decides(check, made, count):
    text = f"""
        import pandas as pd
        from sklearn.compose import make_column_transformer
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures, StandardScaler
        X = pd.read_csv("d.csv")
        prepare = {made}
        prepare.fit(X)
        X = prepare.transform(X)
        a, b = train_test_split(X, random_state=1)
        """
    assert len(check("MLE0101", {"train.py": text})) == count


def test_an_example_of_a_library_is_medium(check):
    code = (
        "from sklearn.model_selection import train_test_split\nfrom sklearn.preprocessing import StandardScaler\n"
        "import pandas as pd\ndf = pd.read_csv('a.csv')\nX = StandardScaler().fit_transform(df)\n"
        "a, b = train_test_split(X)\n"
    )
    project = "[project]\nname = 'lib'\nclassifiers = ['Programming Language :: Python']\n"
    (finding,) = check("MLE0101", {"pyproject.toml": project, "lib/examples/a.py": code})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize(("filled", "severity"), [("constant", "low"), ("median", "high")])
def test_categories_that_are_filled_in_and_encoded(check, filled, severity):
    text = f"""
        import pandas as pd
        from sklearn.compose import ColumnTransformer
        from sklearn.impute import SimpleImputer
        from sklearn.model_selection import train_test_split
        from sklearn.pipeline import Pipeline
        from sklearn.preprocessing import OrdinalEncoder
        df = pd.read_csv("d.csv")
        words = Pipeline(steps=[("fill", SimpleImputer(strategy="{filled}")), ("code", OrdinalEncoder())])
        columns = ColumnTransformer(transformers=[("c", words, ["a"])], remainder="passthrough")
        a, b = train_test_split(columns.fit_transform(df), random_state=1)
        """
    (finding,) = check("MLE0101", {"train.py": text})
    assert finding.severity.value == severity


def test_rows_that_lines_above_write_and_lines_below_read_again(check, place):
    text = """
        import pandas as pd
        from sklearn.model_selection import train_test_split
        from sklearn.preprocessing import StandardScaler
        df = pd.read_csv("d.csv")
        df["a"] = StandardScaler().fit_transform(df[["a"]])
        df.to_csv("ready.csv", index=False)
        ready = pd.read_csv("ready.csv")
        a, b = train_test_split(ready, random_state=1)
        """
    (finding,) = check("MLE0101", {"train.py": text})
    assert place(finding) == ("train.py", 6)
    assert check("MLE0101", {"train.py": text.replace('read_csv("ready', 'read_csv("other')}) == []


HAND = (
    "import pandas as pd\nfrom sklearn.model_selection import train_test_split\ndf = pd.read_csv('d.csv')\n"
    "{}a, b = train_test_split({}, random_state=0)\n"
)


@pytest.mark.parametrize(
    ("code", "given", "found"),
    [
        ("df = df.fillna(df.median())\n", "df", ["medium"]),
        ("m = df.mode()\ndef f(d):\n    d.fillna(m, inplace=True)\n    return d\ndf = f(df)\n", "df", ["medium"]),
        ("df = df.fillna(0)\n", "df", []),
        ("w = []\nfor c in df:\n    if df[c].corr(df['y']) < 0:\n        w.append(c)\n", "df.drop(w)", ["high"]),
        ("train = df.drop(columns=df.corr()['y'][lambda c: c < 0.1].index)\n", "train", ["high"]),
        ("best = df.corr()['y'].nlargest(9).index\n", "df[best]", ["high"]),
        ("w = []\nfor c in df:\n    if df[c].corr(df[x]) > 0.9:\n        w.append(c)\n", "df.drop(w, axis=1)", []),
    ],
)  # fmt: skip
def test_what_is_learned_by_hand_before_the_split(check, code, given, found):
    assert [f.severity.value for f in check("MLE0101", {"train.py": HAND.format(code, given)})] == found


def test_what_is_learned_by_hand_after_the_split(check):
    more = "a = a.fillna(a.median())\nb = b.fillna(a.median())\n"
    assert check("MLE0101", {"train.py": HAND.format("", "df") + more}) == []


def test_a_byte_equal_copy_of_a_file_is_not_told_once_more(check, place):
    code = (
        "import pandas as pd\nfrom sklearn.preprocessing import StandardScaler\n"
        "from sklearn.model_selection import train_test_split\nX = pd.read_csv('d.csv')\n"
        "X = StandardScaler().fit_transform(X)\na, b = train_test_split(X)\n"
    )
    (finding,) = check("MLE0101", {"lib.py": code, "recipes/cli/lib.py": code})
    assert {evidence.path for evidence in finding.evidence} == {"lib.py"}
