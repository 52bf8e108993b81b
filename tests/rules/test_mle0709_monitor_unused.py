def test_a_package_that_no_program_imports(check, place):
    files = {"requirements.txt": "pandas==2.2.0\nevidently==0.4.11\n", "app.py": "import pandas\n"}
    (finding,) = check("MLE0709", files)
    assert (finding.severity.value, place(finding)) == ("low", ("requirements.txt", 2))


def test_imported_run_as_a_command_or_named_as_a_plugin(check):
    assert check("MLE0709", {"requirements.txt": "evidently\n", "a.py": "from evidently import ui\n"}) == []
    assert check("MLE0709", {"requirements.txt": "mlflow\n", "a.py": "", "run.sh": "mlflow server --port 5000\n"}) == []


def test_a_logger_switched_on_by_name(check):
    files = {"requirements.txt": "wandb\n", "train.py": "args = TrainingArguments(report_to='wandb')\n"}
    assert check("MLE0709", files) == []
