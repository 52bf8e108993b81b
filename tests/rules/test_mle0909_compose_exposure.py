import pytest

TEXT = "services:\n  db:\n    image: %s\n    ports:\n      - %s\n"


@pytest.mark.parametrize(
    "image", ["postgres:16", "redis", "ghcr.io/mlflow/mlflow:v2", "${AIRFLOW_IMAGE:-apache/airflow:2.9.1}"]
)
def test_a_store_on_all_interfaces(check, place, image):
    (finding,) = check("MLE0909", {"docker-compose.yml": TEXT % (image, '"5432:5432"')})
    assert place(finding) == ("docker-compose.yml", 5)


@pytest.mark.parametrize(
    ("image", "port"), [("postgres:16", '"127.0.0.1:5432:5432"'), ("me/api:1", '"8000:8000"'), ("me/web", '"80:80"')]
)
def test_a_local_address_or_another_service(check, image, port):
    assert check("MLE0909", {"docker-compose.yml": TEXT % (image, port)}) == []


def test_a_file_for_the_developers_machine_may_publish(check):
    assert check("MLE0909", {"docker-compose.override.yml": TEXT % ("postgres:16", '"5432:5432"')}) == []


def test_a_port_that_the_env_file_names(check, place):
    files = {"docker-compose.yml": TEXT % ("ghcr.io/mlflow/mlflow:v2", '"${PORT}:${PORT}"')}
    assert check("MLE0909", files) == []
    (finding,) = check("MLE0909", {**files, ".env": "PORT = 5050\n"})
    assert "5050" in finding.title


def test_a_console_that_the_command_starts(check):
    text = (
        TEXT % ("python:3.12-slim", '"5000:5000"') + "    command: bash -c 'pip install mlflow && {} --host 0.0.0.0'\n"
    )
    assert len(check("MLE0909", {"docker-compose.yml": text.format("mlflow ui")})) == 1
    assert check("MLE0909", {"docker-compose.yml": text.format("python serve.py")}) == []


def test_the_page_of_airflow_built_from_a_file_of_ones_own(check):
    text = "services:\n  {}:\n    build: .\n    ports:\n      - '8080:8080'\n"
    assert len(check("MLE0909", {"docker-compose.yml": text.format("airflow-webserver")})) == 1
    assert check("MLE0909", {"docker-compose.yml": text.format("web")}) == []
