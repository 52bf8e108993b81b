def test_copying_everything_before_the_install_is_reported_at_the_copy(check, place):
    text = "FROM python:3.12\nWORKDIR /app\nCOPY . .\nRUN pip install --no-cache-dir -r requirements.txt\n"
    (finding,) = check("MLE0523", {"Dockerfile": text})
    assert (place(finding), finding.severity.value) == (("Dockerfile", 3), "low")


def test_the_dependency_file_first_is_fine(check):
    text = "FROM python:3.12\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n"
    assert check("MLE0523", {"Dockerfile": text}) == []


def test_a_folder_is_not_everything(check):
    text = "FROM python:3.12\nCOPY req /req\nRUN pip install -r /req/a.txt\n"
    assert check("MLE0523", {"Dockerfile": text}) == []
