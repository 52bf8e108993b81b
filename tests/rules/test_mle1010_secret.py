import random
import string

import git
import pytest

RANDOM = random.Random(5)
AWS = "AKIA" + "".join(RANDOM.choices(string.ascii_uppercase + string.digits, k=16))
KEY = "".join(RANDOM.choices(string.ascii_letters + string.digits, k=40))


@pytest.mark.parametrize(
    ("path", "line", "value"),
    [
        ("a.py", f"key = '{AWS}'", AWS),
        ("a.py", f"AWS_SECRET_ACCESS_KEY = '{KEY}'", KEY),
        ("a.py", "DB_PASSWORD = 'Tr0ub4dor&3'", "Tr0ub4dor"),
        ("a.py", f"client = OpenAI(api_key='sk-{KEY}')", KEY),
        ("a.py", "URL = 'postgresql://bob:Tr0ub4dor3@db:5432/x'", "Tr0ub4dor3"),
        ("config.json", f'"client_secret": "{KEY}"', KEY),
        (".env.production", f"API_KEY={KEY}", KEY),
        ("Dockerfile", f"ENV API_TOKEN={KEY}", KEY),
        ("id_rsa", "-----BEGIN RSA PRIVATE KEY-----", "PRIVATE KEY"),
    ],
)
def test_a_secret_is_found_and_never_shown(check, place, path, line, value):
    (finding,) = check("MLE1010", {path: f"# first\n{line}\n"})
    assert (place(finding), finding.severity) == ((path, 2), "critical")
    assert value not in finding.model_dump_json()
    assert line.startswith(finding.evidence[0].quote)


@pytest.mark.parametrize(
    "line",
    [
        "key = 'AKIAIOSFODNN7EXAMPLE'",
        "password = 'changeme'",
        "PASSWORD = os.environ['PASSWORD']",
        "api_key = 'your-api-key-goes-here-please'",
        "password = getpass.getpass('Password: ')",
        "token_path = '/var/run/secrets/token-abc123'",
        "secret_name = 'projects/x/secrets/my-secret-1'",
        "API_KEY = '<insert key here 12345678>'",
        "password: '${DB_PASSWORD}'",
        "tokenizer = 'bert-base-uncased-12345'",
        "eos_token = '<|endoftext|>'",
        "pad_token = '[PAD]'",
        "sort_key = 'AAAAAAAAAAAAAAAAAAAAAAAA'",
        "message = 'wrong password, try again'",
        "user = User(name='john_doe', email='john@example.com', password='Tr0ub4dor&3')",
    ],
)
def test_placeholders_and_look_alikes(check, line):
    assert check("MLE1010", {"a.py": f"import os\n{line}\n"}) == []


def test_tests_and_examples_of_env_files(check):
    assert check("MLE1010", {"tests/test_a.py": f"KEY = '{AWS}'\n", ".env.example": "API_KEY=your-key\n"}) == []


def test_one_finding_for_a_file(check):
    (finding,) = check("MLE1010", {"a.py": f"password = 'Tr0ub4dor&3'\nkey = '{AWS}'\n"})
    assert len(finding.evidence) == 2


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("docs/use.rst", "engine = create_engine('postgresql://ann:Tr0ub4dor3@db/x')"),
        ("README.md", "password = 'Tr0ub4dor&3'"),
        ("a.py", "engine = 'postgresql://scott:tiger@db/x'"),
        ("a.py", "engine = 'postgresql://ann:Tr0ub4dor3@localhost/x'"),
    ],
)
def test_what_documents_and_local_databases_show(check, path, line):
    assert check("MLE1010", {path: line + "\n"}) == []


def test_a_key_in_a_document_is_a_key(check):
    (finding,) = check("MLE1010", {"README.md": f"Use {AWS}\n"})
    assert finding.severity == "critical"


def test_a_password_in_an_example_of_settings_is_made_up_and_a_key_is_a_key(check, place):
    assert (
        check("MLE1010", {".env.example": 'DB_PASSWORD="prediction"\n', "conf.sample.ini": "pwd = 'Tr0ub4dor&3'\n"})
        == []
    )
    oauth = "OAUTH_CLIENT_SECRET=GOCSPX-" + "aB3dE6gH9jK2mN5pQ8sT1vW4yZ7_" + "\n"
    assert len(check("MLE1010", {".env.example": oauth})) == 1
    found = check("MLE1010", {".env.example": f"KEY={AWS}\n", "settings.py": "DB_PASSWORD = 'prediction'\n"})
    assert [place(finding)[0] for finding in found] == [".env.example", "settings.py"]


SIGNED = "from flask import Flask\napp = Flask(__name__)\n"


@pytest.mark.parametrize("target", ["app.secret_key", "app.config['SECRET_KEY']", "SECRET_KEY"])
def test_the_key_of_sessions_is_one(check, place, target):
    (finding,) = check("MLE1010", {"app.py": f"{SIGNED}{target} = '{KEY}'\n"})
    assert (finding.severity, place(finding)) == ("high", ("app.py", 3))
    assert KEY not in finding.model_dump_json()


def test_a_plain_word_that_signs_sessions_is_medium(check, place):
    (finding,) = check("MLE1010", {"app.py": f"{SIGNED}app.secret_key = 'mouse'\n"})
    assert (finding.severity, place(finding)) == ("medium", ("app.py", 3))
    assert "mouse" not in finding.model_dump_json()
    assert check("MLE1010", {"app.py": f"{SIGNED}import os\napp.secret_key = os.environ['KEY']\n"}) == []


def test_a_line_that_a_comment_shows_is_no_secret(check):
    line = "access_key = 'mperto28a8xnul81g7w58xvy3qbplerw'"
    assert check("MLE1010", {"a.py": f"# Then paste your key: `{line}`\n"}) == []
    assert len(check("MLE1010", {"a.py": f"# {line}\n"})) == 1


def test_a_key_in_an_address(check):
    line = 'url = "https://api.films.org/3/{}?api_key=9f3b71c0d5e8a2467b1c&lang=en"\n'
    (finding,) = check("MLE1010", {"app.py": line})
    assert finding.severity.value == "critical"
    assert "9f3b71" not in finding.evidence[0].quote
    assert check("MLE1010", {"app.py": line.replace("9f3b71c0d5e8a2467b1c", "your_api_key_goes_right_here")}) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("PORT = 5050", 0),
        ("DB_PASSWORD=postgres", 1),
        ("VITE_URL=a.org", 0),
        ("DB_URL=mongodb://db:27017/", 0),
        ("DB_URL=mongodb://db.example.org/", 1),
    ],
)
def test_an_env_file_in_git(check, tmp_path, line, found):
    repo = git.Repo.init(tmp_path)
    (tmp_path / ".env").write_text(f"{line}\n")
    repo.index.add([".env"])
    assert [f.title for f in check("MLE1010", {"a.py": "x = 1\n"})] == [".env is tracked by git"] * found


def test_an_env_file_that_the_reader_copies(check, tmp_path):
    repo = git.Repo.init(tmp_path)
    (tmp_path / ".env.local").write_text("DB_URL=db://a:Kq7x@db.org/a\n")
    repo.index.add([".env.local"])
    assert [f.severity.value for f in check("MLE1010", {"a.py": "x = 1\n"})] == ["high"]
    assert [f.severity.value for f in check("MLE1010", {"README.md": "cp .env.local .env\n"})] == ["medium"]


@pytest.mark.parametrize(
    ("value", "severity"), [("db://airflow:airflow@postgres/a", "medium"), ("db://a:Kq7x@db.org/a", "high")]
)
def test_a_default_that_everybody_knows_is_medium(check, tmp_path, value, severity):
    repo = git.Repo.init(tmp_path)
    (tmp_path / ".env").write_text(f"SQL_CONN={value}\n")
    repo.index.add([".env"])
    assert [f.severity.value for f in check("MLE1010", {"a.py": "x = 1\n"})] == [severity]


def test_the_name_of_the_file_that_holds_a_key_is_none(check):
    line = "os.environ['GOOGLE_APPLICATION_CREDENTIALS'] = 'my-play-ground-4edb82f0637a.json'\n"
    assert check("MLE1010", {"app.py": "import os\n" + line}) == []


def test_a_dollar_inside_a_key_is_no_variable(check):
    (finding,) = check("MLE1010", {"settings.py": f"INSTALLED_APPS = []\nSECRET_KEY = '{KEY[:20]}$p+{KEY[20:]}'\n"})
    assert finding.severity == "high"
    assert check("MLE1010", {"settings.py": "INSTALLED_APPS = []\nTOKEN_KEY = '$" + KEY + "'\n"}) == []


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("events/predict.json", '{"Postman-Token": "9f583ef0-ed83-4a38-aef3-eb9ce3f7a57f"}'),
        (
            "arm/azure-func.json",
            "[concat('EndpointSuffix=', a, ';AccountKey=',listKeys(resourceId('x/storage9', b)).v)]",
        ),
        ("a.py", "# Then: `    const accessKey = 'mperto28a8xnul81g7w58xvy3qbplerw'`"),
    ],
)
def test_values_that_only_look_like_keys(check, path, line):
    assert check("MLE1010", {path: f"{line}\n"}) == []


def test_keys_of_settings_without_quotes_and_examples_of_them(check, place):
    text = "# Example: kwargs = {'password': 'what_the_server_asks_for_9'}\n[core]\nfernet_key = " + KEY + "\n"
    (finding,) = check("MLE1010", {"config/airflow.cfg": text})
    assert place(finding) == ("config/airflow.cfg", 3)
    assert check("MLE1010", {"config/airflow.cfg": text.replace(KEY, "")}) == []


def test_a_private_key_of_a_template(check):
    begin = "-----BEGIN RSA PRIVATE KEY" + "-----"
    assert check("MLE1010", {"io.yaml": f'private_key: "{begin}\\nyour_private_key\\n-----END"\n'}) == []
    assert len(check("MLE1010", {"io.yaml": f'private_key: "{begin}\\n{KEY}\\n-----END"\n'})) == 1
