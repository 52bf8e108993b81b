CODE = "from sklearn.neighbors import KNeighborsRegressor\n{before}m = KNeighborsRegressor()\nm.fit(X, y)\n"


def test_distances_over_raw_columns(check, place):
    (finding,) = check("MLE0415", {"t.py": CODE.format(before="")})
    assert place(finding) == ("t.py", 3)
    assert finding.severity == "low"


def test_a_scaler_anywhere_in_the_program(check):
    before = "from sklearn.preprocessing import StandardScaler\nX = StandardScaler().fit_transform(X)\n"
    assert check("MLE0415", {"t.py": CODE.format(before=before)}) == []


def test_trees_do_not_care(check):
    assert (
        check(
            "MLE0415", {"t.py": "from sklearn.tree import DecisionTreeClassifier\nDecisionTreeClassifier().fit(X, y)\n"}
        )
        == []
    )
