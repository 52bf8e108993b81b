def test_a_logged_model_without_signature(check, place):
    (finding,) = check("MLE0517", {"train.py": "import mlflow\nmlflow.sklearn.log_model(model, 'model')\n"})
    assert place(finding) == ("train.py", 2)


def test_signature_example_unpacked_options_and_inferring_flavours(check):
    text = (
        "import mlflow\nfrom mlflow.models import infer_signature\n"
        "mlflow.sklearn.log_model(m, 'm', signature=infer_signature(X, y))\n"
        "mlflow.sklearn.log_model(m, 'm', input_example=X[:2])\n"
        "mlflow.sklearn.log_model(m, 'm', **options)\n"
        "mlflow.transformers.log_model(p, 'm')\n"
    )
    assert check("MLE0517", {"train.py": text}) == []


def test_autolog_sets_it(check):
    text = "import mlflow\nmlflow.sklearn.autolog()\nmlflow.sklearn.log_model(m, 'm')\n"
    assert check("MLE0517", {"train.py": text}) == []


def test_logging_that_is_switched_off_gives_no_signature(check):
    code = "import mlflow\nmlflow.lightgbm.autolog({})\nmlflow.lightgbm.log_model(bst, 'm')\n"
    assert len(check("MLE0517", {"t.py": code.format("disable=True")})) == 1
    assert check("MLE0517", {"t.py": code.format("")}) == []
