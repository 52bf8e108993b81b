import base64

import pytest

COMPOSE = "services:\n  db:\n    image: postgres:16\n    environment:\n      POSTGRES_PASSWORD: %s\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers:
        - name: api
          image: me/api:1
          env:
            - name: %s
              value: "%s"
"""
SECRET = "kuh-Pr0d-2023"


def test_a_secret_in_a_manifest_is_critical_and_never_quoted(check, place):
    (finding,) = check("MLE0908", {"d.yaml": DEPLOYMENT % ("DB_PASSWORD", SECRET)})
    assert (place(finding), finding.severity.value) == (("d.yaml", 12), "critical")
    assert "DB_PASSWORD" in finding.title
    assert SECRET not in finding.model_dump_json()


def test_the_same_secret_in_several_files_is_one_finding(check):
    files = {"d.yaml": DEPLOYMENT % ("DB_PASSWORD", SECRET), "docker-compose.yml": COMPOSE % SECRET}
    (finding,) = check("MLE0908", files)
    assert [e.path for e in finding.evidence] == ["d.yaml", "docker-compose.yml"]
    assert SECRET not in finding.model_dump_json()


def test_the_list_form_of_an_environment(check, place):
    text = f"services:\n  a:\n    image: x\n    environment:\n      - AWS_SECRET_ACCESS_KEY={SECRET}\n"
    (finding,) = check("MLE0908", {"compose.yaml": text})
    assert place(finding) == ("compose.yaml", 5)
    assert SECRET not in finding.model_dump_json()


def test_a_secret_object_and_a_url_with_credentials(check):
    encoded = base64.b64encode(SECRET.encode()).decode()
    secret = f"apiVersion: v1\nkind: Secret\nmetadata: {{name: s}}\ndata:\n  password: {encoded}\n"
    (finding,) = check("MLE0908", {"s.yaml": secret})
    assert encoded not in finding.model_dump_json()
    (finding,) = check("MLE0908", {"s.yaml": DEPLOYMENT % ("DATABASE", f"postgresql://app:{SECRET}@db/x")})
    assert finding.severity.value == "critical"


def test_terraform_variables(check, place):
    (finding,) = check("MLE0908", {"prod.tfvars": f'region = "eu"\ndb_password = "{SECRET}"\n'})
    assert place(finding) == ("prod.tfvars", 2)
    assert SECRET not in finding.model_dump_json()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DB_PASSWORD", "${DB_PASSWORD}"),
        ("DB_PASSWORD", "change-me-1"),
        ("API_KEY", "<your key>"),
        ("TOKENIZER_PATH", "models/tokenizer-v1.2"),
        ("MAX_TOKENS", "4096000"),
        ("SECRET_NAME", "prod/db-Pw1"),
        ("TOKEN_URL", "https://login.example.org/oauth2"),
        ("MODEL_VERSION", "a1B2c3D4e5"),
        ("API_KEY", "api-key-of-the-service"),
    ],
)
def test_references_placeholders_and_other_settings(check, name, value):
    assert check("MLE0908", {"d.yaml": DEPLOYMENT % (name, value)}) == []


def test_defaults_of_a_local_server_are_no_secret_in_compose_and_medium_in_a_cluster(check):
    assert check("MLE0908", {"docker-compose.yml": COMPOSE % "postgres"}) == []
    (finding,) = check("MLE0908", {"d.yaml": DEPLOYMENT % ("DB_PASSWORD", "postgres")})
    assert finding.severity.value == "medium"


def test_the_file_that_holds_the_credentials(check):
    text = 'locals {{\n  credentials = "{}"\n}}\n'
    assert check("MLE0908", {"main.tf": text.format("../my-creds.json")}) == []
    assert len(check("MLE0908", {"main.tf": text.format("q8Zr41xW0pLm7")})) == 1
