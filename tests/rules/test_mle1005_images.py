"""M10-05 for images: a package that another environment of the repository declares."""

APP = "import flask, joblib, shap\napp = flask.Flask('a')\n"
FILES = {
    "train/requirements.txt": "shap\nscikit-learn\n",
    "api/requirements.txt": "flask\njoblib\n",
    "api/app.py": APP,
    "api/Dockerfile": (
        "FROM python:3.12-slim\nWORKDIR /app\nCOPY requirements.txt .\nRUN pip install -r requirements.txt\nCOPY . .\n"
        'CMD ["gunicorn", "app:app"]\n'
    ),
}


def test_a_package_that_only_another_environment_has(check, place):
    (finding,) = [f for f in check("MLE1005", FILES) if f.severity.value == "high"]
    assert finding.title == "shap is imported and not installed in the image"
    assert [(e.path, e.line_start) for e in finding.evidence] == [("api/app.py", 1), ("api/Dockerfile", 4)]


def test_what_the_image_installs_otherwise_or_imports_later(check):
    later = APP.replace(", shap", "") + "def explain():\n    import shap\n"
    for changed in (
        {"api/Dockerfile": FILES["api/Dockerfile"].replace("COPY . .", "RUN pip install shap==0.45\nCOPY . .")},
        {"api/Dockerfile": FILES["api/Dockerfile"].replace("COPY . .", "RUN poetry install\nCOPY . .")},
        {"api/Dockerfile": FILES["api/Dockerfile"].replace("python:3.12-slim", "our/base:1")},
        {"api/requirements.txt": "flask\njoblib\n-r extra.txt\n", "api/extra.txt": "shap\n"},
        {"api/app.py": later},
        {"src/shop/core.py": "import shap\n", "api/requirements.txt": "flask\njoblib\nshop\n"},  # the project itself
    ):
        assert [f for f in check("MLE1005", {**FILES, **changed}) if f.severity.value == "high"] == []
