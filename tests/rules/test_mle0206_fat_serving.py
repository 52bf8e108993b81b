APP = (
    "import joblib\nimport utils\nfrom flask import Flask, request\napp = Flask(__name__)\n@app.route('/p')\n"
    "def p():\n    return str(joblib.load('m').predict(request.json)) + utils.f()\n"
)


def test_plotting_that_the_service_only_imports(check, place):
    (finding,) = check(
        "MLE0206", {"app.py": APP, "utils.py": "import matplotlib.pyplot as plt\ndef f():\n    return ''\n"}
    )
    assert finding.severity.value == "low"
    assert place(finding) == ("utils.py", 1)


def test_a_route_that_plots_needs_it(check):
    utils = "import matplotlib.pyplot as plt\ndef f():\n    plt.plot([1])\n    return ''\n"
    assert check("MLE0206", {"app.py": APP, "utils.py": utils}) == []


def test_modules_that_the_service_does_not_import_and_late_imports_are_silent(check):
    late = "def f():\n    return ''\ndef g():\n    import seaborn\n    return seaborn\n"
    assert check("MLE0206", {"app.py": APP, "utils.py": late, "explore.py": "import seaborn\n"}) == []
