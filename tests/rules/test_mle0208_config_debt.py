HEAD = (
    "from sklearn.ensemble import RandomForestClassifier as F\nfrom sklearn.model_selection import train_test_split\n"
)
CALLS = "a, b, c, d = train_test_split(X, y, test_size=0.2, random_state=1)\n" + "".join(
    f"F(n_estimators={n}, max_depth={n}, min_samples_leaf={n}).fit(a, c)\n" for n in range(1, 5)
)
FILLER = "".join(f"value_{n} = {n}\n" for n in range(40))


def test_many_numbers_and_no_configuration(check, place):
    (finding,) = check("MLE0208", {"train.py": HEAD + CALLS + FILLER})
    assert finding.severity.value == "medium"
    assert place(finding) == ("train.py", 3)
    assert "14 numbers" in finding.title


def test_a_tiny_script_is_low(check):
    (finding,) = check("MLE0208", {"train.py": HEAD + CALLS})
    assert finding.severity.value == "low"


def test_few_numbers_are_silent(check):
    assert check("MLE0208", {"train.py": HEAD + "F(n_estimators=5, max_depth=2).fit(X, y)\n" + FILLER}) == []


def test_any_configuration_is_enough(check):
    for line in ("import argparse\n", "import yaml\n", "import sys\nn = sys.argv[1]\n", "import config\n"):
        assert check("MLE0208", {"train.py": line + HEAD + CALLS + FILLER, "config.py": "x = 1\n"}) == []


def test_numbers_in_a_table_of_parameters(check, place):
    table = "params = {" + ", ".join(f"'p{n}': {n}" for n in range(10)) + "}\n"
    code = f"import lightgbm as lgb\n{table}lgb.train(params, lgb.Dataset(X, y))\n"
    (finding,) = check("MLE0208", {"train.py": code + FILLER})
    assert place(finding) == ("train.py", 3)


def test_numbers_under_names_of_the_script_count_and_reading_rows_is_no_configuration(check, place):
    names = "".join(f"size_{n} = {n}\n" for n in range(9))
    code = f"import json\nimport torch\nlr = 0.1\n{names}rows = json.load(open('rows.json'))\n" + "print(rows)\n" * 40
    code += "optimizer = torch.optim.SGD(net.parameters(), lr=lr)\nloss.backward()\noptimizer.step()\n"
    (finding,) = check("MLE0208", {"train.py": code})
    assert place(finding)[0] == "train.py"
    assert check("MLE0208", {"train.py": code.replace("rows", "config")}) == []
