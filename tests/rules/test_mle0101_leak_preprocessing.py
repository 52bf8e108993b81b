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
