import pytest


def docker(start, copy="COPY . .", base="python:3.11"):
    return f"FROM {base}\nWORKDIR /app\n{copy}\nRUN pip install -r requirements.txt\nCMD {start}\n"


@pytest.mark.parametrize(
    ("start", "copy"),
    [
        ('["python", "app.py"]', "COPY . ."),
        ('["uvicorn", "main:app"]', "COPY . ."),
        ("gunicorn app:app", "COPY . ."),
        ('["python", "serve/main.py"]', "COPY serve/ ."),
        ('["bash", "start.sh"]', "COPY serve serve"),
    ],
)
def test_the_image_lacks_what_it_starts(check, place, start, copy):
    (finding,) = check(
        "MLE0525", {"Dockerfile": docker(start, copy), "serve/main.py": "", "start.sh": "", "x/app.py": ""}
    )
    assert (place(finding), finding.severity) == (("Dockerfile", 5), "high")


@pytest.mark.parametrize(
    ("start", "copy"),
    [
        ('["python", "serve/main.py"]', "COPY . ."),
        ('["python", "main.py"]', "COPY serve/ ."),
        ('["python", "main.py"]', "COPY serve/main.py ."),
        ('["uvicorn", "serve.main:app"]', "COPY . ."),
        ('["python", "-m", "serve.main"]', "COPY . ."),
        ('["python", "/app/serve/main.py"]', "COPY . /app"),
        ('["python", "made.py"]', "COPY . .\nRUN wget http://x/made.py"),
        ('["python", "$SCRIPT"]', "COPY . ."),
        ('["python", "-c", "print(1)"]', "COPY . ."),
        ('["jupyter", "lab"]', "COPY . ."),
    ],
)
def test_what_is_there_or_cannot_be_known(check, start, copy):
    assert check("MLE0525", {"Dockerfile": docker(start, copy), "serve/main.py": "", "serve/__init__.py": ""}) == []


def test_a_base_image_with_an_application_of_its_own(check):
    assert check("MLE0525", {"Dockerfile": docker('["python", "server.py"]', base="acme/base:1")}) == []


def test_a_folder_that_the_reader_mounts(check):
    files = {
        "Dockerfile": docker('["python", "app.py"]', "COPY requirements.txt ."),
        "app.py": "",
        "requirements.txt": "",
    }
    assert len(check("MLE0525", files)) == 1
    assert check("MLE0525", files | {"README.md": "docker run -it -v $PWD:/app/ -p 80:80 me\n"}) == []


def test_a_script_without_its_run_bit(check, place, tmp_path):
    files = {"Dockerfile": docker('["./start.sh"]'), "start.sh": "#!/bin/sh\n"}
    (finding,) = check("MLE0525", files)
    assert "may not be executed" in finding.title
    (tmp_path / "start.sh").chmod(0o755)
    (tmp_path / "start.sh").write_text("#!/bin/sh\necho\n")
    assert check("MLE0525", {}) == []


def test_procfile_and_readme(check, place):
    (finding,) = check("MLE0525", {"Procfile": "web: gunicorn server:app\n", "app.py": ""})
    assert place(finding) == ("Procfile", 1)


def test_the_readme_names_a_script_of_which_there_is_no_trace(check, place):
    text = "# X\n```bash\npython train_model.py\npython your_script.py\npython fit.py\n```\n"
    (finding,) = check("MLE0525", {"README.md": text, "src/fit.py": ""})
    assert place(finding) == ("README.md", 3)


def test_a_readme_that_has_another_repository_cloned(check):
    text = "```bash\ngit clone https://github.com/acme/other.git\npython train_model.py\n```\n"
    assert check("MLE0525", {"README.md": text, "fit.py": ""}) == []


def test_a_folder_that_the_reader_mounts_whatever_it_is_called_in_the_document(check):
    files = {"Dockerfile": docker("python app.py", "ADD . /app"), "src/app.py": "", "requirements.txt": ""}
    assert len(check("MLE0525", files)) == 1
    note = "```\nsudo docker run --rm -p 80:80 -v **absolute path to src**:/app me\n```\n"
    assert check("MLE0525", files | {"README.md": note}) == []


def test_a_script_of_a_gist_is_not_looked_for_here(check):
    text = "Take https://gist.github.com/ann/cf7b and run it:\n```\n./mydocker.sh run me\n```\n"
    assert check("MLE0525", {"README.md": text, "a.py": ""}) == []
    assert len(check("MLE0525", {"README.md": text.replace("gist.github.com", "acme.org"), "a.py": ""})) == 1


def test_a_readme_that_installs_by_a_file_which_is_gone_is_medium(check):
    found = check("MLE0525", {"README.md": "```shell\n$ python setup.py install\n```\n", "a.py": "x = 1\n"})
    assert [f.severity for f in found] == ["medium"]


def test_a_package_that_the_image_installs_is_started(check):
    docker = 'FROM python:3.12\nWORKDIR /app\nCOPY . .\nRUN pip install %s\nCMD ["gunicorn", "served:app"]\n'
    assert check("MLE0525", {"Dockerfile": docker % "served[redis]", "a.py": ""}) == []
    (finding,) = check("MLE0525", {"Dockerfile": docker % "gunicorn", "a.py": ""})
    assert "served" in finding.title


def test_a_file_that_the_reader_is_to_write(check):
    text = "# Use\n\nCopy the snippet below into `train.py`:\n\n```\n$ python train.py\n```\n"
    assert check("MLE0525", {"README.md": text, "a.py": ""}) == []
    (finding,) = check("MLE0525", {"README.md": text.replace("Copy the snippet below into", "Look at")})
    assert finding.severity.value == "high"


def test_a_bento_of_a_module_that_is_not_there(check, place):
    files = {
        "demo/bentofile.yaml": 'include:\n- "*.py"\nservice: "graph_service:svc"\n',
        "demo/service.py": "svc = 1\n",
    }
    (finding,) = check("MLE0525", files)
    assert place(finding) == ("demo/bentofile.yaml", 3)
    assert check("MLE0525", {**files, "demo/bentofile.yaml": 'service: "package.service:svc"\n'}) == []
    assert check("MLE0525", {**files, "demo/graph_service.py": "svc = 1\n"}) == []


def test_the_readme_of_a_library_starts_programs_of_the_reader(check):
    project = "[project]\nname = 'lib'\nclassifiers = ['Programming Language :: Python']\n"
    files = {"README.md": "Then:\n\n```\npython main.py\n```\n", "lib/a.py": ""}
    assert len(check("MLE0525", files)) == 1
    assert check("MLE0525", {"pyproject.toml": project}) == []


def test_an_image_that_is_built_from_a_folder_above_it(check):
    docker = "FROM python:3.12\nWORKDIR /opt/api\nADD ./api /opt/api\nCMD ['bash', './run.sh']\n".replace("'", '"')
    files = {"packages/api/Dockerfile": docker, "packages/api/run.sh": "uvicorn app:app\n"}
    assert check("MLE0525", files) == []
    compose = "services:\n  api:\n    build:\n      context: .\n      dockerfile: api\\Dockerfile\n"
    assert check("MLE0525", {"packages/docker-compose.yml": compose}) == []
