def test_one_finding_for_a_file_with_its_lines(check, place):
    (finding,) = check("MLE1002", {"requirements.txt": "numpy==1.26.4\nflask\n\npandas\n"})
    assert (place(finding), finding.severity) == (("requirements.txt", 2), "medium")
    assert [e.line_start for e in finding.evidence] == [2, 4]


def test_bounds_urls_and_development_tools(check):
    files = {"requirements.txt": "numpy>=1\ngit+https://x/y.git\n", "requirements-dev.txt": "pytest\n"}
    assert check("MLE1002", files) == []


def test_a_lock_excuses(check):
    lock = '[[package]]\nname = "flask"\nversion = "3.0.0"\n'
    project = '[project]\nname = "x"\ndependencies = ["flask"]\n'
    assert check("MLE1002", {"pyproject.toml": project, "uv.lock": lock}) == []
    assert check("MLE1002", {"uv.lock": lock.replace("flask", "other")}) != []


def test_a_published_library_does_not_pin(check):
    project = '[project]\nname = "x"\nclassifiers = ["Development Status :: 4 - Beta"]\ndependencies = ["flask"]\n'
    assert check("MLE1002", {"pyproject.toml": project}) == []


def test_build_tools_and_pipenv_in_an_image_are_low(check):
    docker = "FROM python:3.11\nRUN pip install pipenv\nRUN pipenv install --system\n"
    found = check("MLE1002", {"Dockerfile": docker, "Pipfile": '[packages]\nflask = "==3.0"\n'})
    assert [(f.severity.value, f.evidence[0].line_start) for f in found] == [("low", 2), ("low", 3)]


def test_no_file_is_the_matter_of_another_rule(check):
    assert check("MLE1002", {"a.py": "import flask\n", "Dockerfile": "FROM python:3.11\nRUN pip install flask\n"}) == []


def test_a_library_that_fixes_most_of_its_installation(check, place):
    setup = "from setuptools import setup\nsetup(name='x', classifiers=['Programming Language :: Python :: 3'])\n"
    (finding,) = check("MLE1002", {"setup.py": setup, "requirements.txt": "a==1\nb==2\nflask\n"})
    assert place(finding) == ("requirements.txt", 3)
    assert check("MLE1002", {"requirements.txt": "a>=1\nb>=2\nflask\n"}) == []
