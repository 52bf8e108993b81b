HEAD = "from sklearn.ensemble import RandomForestClassifier\n"


def test_a_forest_without_a_seed(check, place):
    (finding,) = check("MLE0403", {"t.py": HEAD + "m = RandomForestClassifier(10)\n"})
    assert place(finding) == ("t.py", 2)
    assert finding.severity == "low"


def test_none_is_no_seed(check):
    assert len(check("MLE0403", {"t.py": HEAD + "m = RandomForestClassifier(random_state=None)\n"})) == 1


def test_a_seed_or_options_that_may_hold_one(check):
    assert check("MLE0403", {"t.py": HEAD + "m = RandomForestClassifier(random_state=1)\n"}) == []
    assert check("MLE0403", {"t.py": HEAD + "m = RandomForestClassifier(**params)\n"}) == []
