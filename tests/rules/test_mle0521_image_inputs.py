import pytest

PYTHON = "FROM python:3.12\n"


def test_a_source_that_is_not_there_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0521", {"Dockerfile": PYTHON + "COPY app.py /app/\nCOPY config.yaml /app/\n", "app.py": ""})
    assert (place(finding), finding.severity.value) == (("Dockerfile", 3), "high")
    assert "config.yaml" in finding.title


def test_a_source_that_dockerignore_takes_out_is_reported(check, place):
    files = {"Dockerfile": PYTHON + "COPY model.pkl /m\n", "model.pkl": b"x", ".dockerignore": "*.pkl\n"}
    (finding,) = check("MLE0521", files)
    assert ".dockerignore" in finding.title


def test_an_install_from_a_file_that_was_never_copied_is_reported(check, place):
    text = """\
        FROM nvidia/cuda:12.4.1-runtime-ubuntu22.04
        RUN wget https://example.org/miniconda.sh
        COPY . src/
        RUN bash -c "cd src \\
         && pip install -r requirements.txt"
        """
    (finding,) = check("MLE0521", {"Dockerfile": text, "app.py": ""})
    assert place(finding) == ("Dockerfile", 5)


@pytest.mark.parametrize(
    "text",
    [
        "COPY . .\n",
        "COPY src /app/src\n",
        "COPY src/main.py requirements.txt /app/\nRUN pip install -r requirements.txt\n",
        "COPY ./requirements.txt* ./poetry.lock* /x/\n",
        "COPY --from=nginx /etc/nginx /etc/nginx\n",
        "ADD https://example.org/x.tar /x\n",
        "COPY $DIR /app\n",
        "COPY dist/app.whl /app/\n",
        "COPY models/m.pkl /m\n",
        "COPY <<EOF /etc/requirements.txt\nflask\nEOF\nRUN pip install -r /etc/requirements.txt\n",
        "RUN git clone https://example.org/x && pip install -r x/requirements.txt\n",
        "RUN --mount=type=bind,source=requirements.txt,target=r.txt pip install -r r.txt\n",
        "COPY . /srv\nRUN pip install -r /srv/requirements.txt\n",
    ],
)
def test_what_is_there_or_made_or_unknown_is_left_alone(check, text):
    files = {"src/main.py": "", "requirements.txt": "flask\n", "models/m.pkl.dvc": "outs:\n- path: m.pkl\n"}
    assert check("MLE0521", {"Dockerfile": PYTHON + text, **files}) == []


def test_the_file_of_a_builder_stage_counts(check):
    text = """\
        FROM python:3.12 AS b
        COPY requirements.txt .
        RUN pip install -r requirements.txt
        FROM python:3.12
        COPY --from=b /w /w
        """
    assert check("MLE0521", {"Dockerfile": text, "requirements.txt": "flask\n"}) == []


def test_an_unknown_context_may_be_the_root(check):
    assert check("MLE0521", {"docker/Dockerfile": PYTHON + "COPY app.py /app/\n", "app.py": ""}) == []


def test_the_context_that_compose_names_is_the_one(check, place):
    compose = "services:\n  a:\n    build: docker\n"
    files = {"docker/Dockerfile": PYTHON + "COPY app.py /app/\n", "app.py": "", "docker-compose.yml": compose}
    (finding,) = check("MLE0521", files)
    assert place(finding) == ("docker/Dockerfile", 2)


def test_a_script_that_is_run_from_the_folder_above_builds_from_there(check):
    files = {
        "qa/docker/project.Dockerfile": PYTHON + "COPY run.py .\nCOPY src src\n",
        "qa/run.py": "",
        "qa/src/a.py": "",
        "qa/docker/build.sh": 'FILE="docker/project.Dockerfile"\nNAME=triton\ndocker build -f ${FILE} -t ${NAME}:1 .\n',
    }
    assert check("MLE0521", files) == []
    lacking = {**files, "qa/docker/project.Dockerfile": PYTHON + "COPY gone.py .\n"}
    (finding,) = check("MLE0521", lacking)
    assert finding.confidence.value == "high"


def test_an_image_that_is_built_upon_another_of_the_repository(check):
    files = {
        "base/Dockerfile": "FROM python:3.12\nCOPY requirements.txt /app/\n",
        "base/requirements.txt": "numpy\n",
        "app/Dockerfile": "FROM churn-base:1\nRUN pip install -r /app/requirements.txt\n",
    }
    build = "#!/bin/sh\ndocker build -t churn-base:1 base\n"
    compose = "services:\n  base:\n    image: churn-base:1\n    build: base\n"
    assert len(check("MLE0521", files)) == 1
    assert check("MLE0521", {**files, "docker-compose.yml": compose}) == []
    assert check("MLE0521", {**files, "docker-compose.yml": "services: {}\n", "build.sh": build}) == []


@pytest.mark.parametrize(
    ("build", "extra", "found"),
    [
        (".", {}, 1),
        ("{context: app, dockerfile: prod.Dockerfile}", {"app/Dockerfile": PYTHON}, 1),
        ("app", {"app/Dockerfile": PYTHON}, 0),
        ("app", {"app/dockerfile": PYTHON}, 0),
        ("https://github.com/a/b.git", {}, 0),
        ("${FOLDER}", {}, 0),
    ],
)
def test_compose_builds_from_a_folder_without_a_dockerfile(check, place, build, extra, found):
    findings = check("MLE0521", {"docker-compose.yml": f"services:\n  api:\n    build: {build}\n", **extra})
    assert [place(finding) for finding in findings] == [("docker-compose.yml", 3)] * found


def test_what_a_script_copies_into_the_context(check):
    files = {"img/Dockerfile": "FROM python:3.13\nCOPY twin.py /app/\n", "lib/twin.py": ""}
    assert check("MLE0521", {**files, "deploy.sh": "cp lib/twin.py img/\n"}) == []
    assert len(check("MLE0521", {"deploy.sh": "cp lib/other_twin.py img/\n"})) == 1


def test_what_a_run_writes_and_git_ignores(check):
    files = {
        "Dockerfile": "FROM python:3.13\nCOPY out_run/report.json /app/\n",
        "train.py": 'NAME = "report.json"\nopen(FOLDER / NAME, "w")\n',
    }
    assert check("MLE0521", {**files, ".gitignore": "out_run/\n"}) == []
    assert len(check("MLE0521", {".gitignore": "*.log\n"})) == 1


@pytest.mark.parametrize(
    ("changed", "found"),
    [
        ({}, 1),
        ({"compose.yml": "services:\n  a:\n    build: .\n    volumes:\n      - ./models:/app/models\n"}, 0),
        ({".dockerignore": ".git\n"}, 0),
        ({"Dockerfile": 'FROM python:3.13\nCOPY . .\nRUN python train.py\nCMD ["uvicorn", "app:app"]\n'}, 0),
    ],
)
def test_a_model_that_dockerignore_keeps_out(check, changed, found):
    app = "import joblib, os\nfrom fastapi import FastAPI\napp = FastAPI()\nmodel = joblib.load(PATH)\n"
    app = app.replace("PATH", "os.getenv('MODEL', 'models/m.pkl')")
    files = {
        "app.py": f"{app}@app.post('/p')\ndef p(b: dict):\n    return float(model.predict([b['a']]))\n",
        "train.py": "import joblib\njoblib.dump(model, 'models/m.pkl')\n",
        "Dockerfile": 'FROM python:3.13\nWORKDIR /app\nCOPY . .\nCMD ["uvicorn", "app:app"]\n',
        ".dockerignore": ".git\nmodels/*\n",
    }
    assert len(check("MLE0521", {**files, **changed})) == found
