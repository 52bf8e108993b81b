HEAD = "from sklearn.model_selection import train_test_split, cross_val_score\nX, y = load()\n"


def test_smote_before_the_split(check, place):
    code = HEAD + (
        "from imblearn.over_sampling import SMOTE\nX, y = SMOTE().fit_resample(X, y)\n"
        "a, b, c, d = train_test_split(X, y)\n"
    )
    (finding,) = check("MLE0103", {"t.py": code})
    assert place(finding) == ("t.py", 4)
    assert finding.severity == "high"


def test_copies_of_the_small_class_before_a_split(check, place):
    code = HEAD + (
        "import pandas as pd\nfrom sklearn.utils import resample\nsmall = resample(X[y == 1], n_samples=900)\n"
        "X = pd.concat([X, small])\na, b = train_test_split(X)\n"
    )
    (finding,) = check("MLE0103", {"t.py": code})
    assert place(finding) == ("t.py", 5)


def test_under_sampling_is_medium(check):
    code = HEAD + (
        "from imblearn.under_sampling import NearMiss\nX, y = NearMiss().fit_resample(X, y)\n"
        "cross_val_score(model, X, y)\n"
    )
    (finding,) = check("MLE0103", {"t.py": code})
    assert finding.severity == "medium"


def test_resampling_the_training_half_is_right(check):
    code = HEAD + (
        "from imblearn.over_sampling import SMOTE\na, b, c, d = train_test_split(X, y)\n"
        "a, c = SMOTE().fit_resample(a, c)\n"
    )
    assert check("MLE0103", {"t.py": code}) == []


def test_joining_two_different_frames_copies_nothing(check):
    code = HEAD + "import pandas as pd\nX = pd.concat([load(1), load(2)])\na, b = train_test_split(X)\n"
    assert check("MLE0103", {"t.py": code}) == []


def test_training_rows_that_are_thinned_out_before_a_validation_part_is_cut(check):
    code = HEAD + (
        "import pandas as pd\nfrom sklearn.utils import resample\n{first}"
        "big = resample(X[y == 0], replace=False, n_samples=90)\n"
        "X = pd.concat([big, X[y == 1]])\nX, b = train_test_split(X)\n"
    )
    assert len(check("MLE0103", {"t.py": code.format(first="")})) == 1
    assert check("MLE0103", {"t.py": code.format(first="X, X_test, y, y_test = train_test_split(X, y)\n")}) == []
