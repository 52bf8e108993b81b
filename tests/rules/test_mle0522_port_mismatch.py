import pytest

FLASK = "from flask import Flask\napp = Flask(__name__)\nif __name__ == '__main__':\n    app.run({})\n"
DOCKER = 'FROM python:3.12\nWORKDIR /app\nCOPY . .\nEXPOSE 8080\nCMD ["python", "app.py"]\n'
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    metadata: {labels: {app: api}}
    spec:
      containers:
        - name: api
          image: ghcr.io/me/churn:1
          ports:
            - containerPort: PORT
"""


def test_a_loopback_address_in_a_container_is_reported_at_the_call(check, place):
    (finding,) = check("MLE0522", {"Dockerfile": DOCKER, "app.py": FLASK.format("port=8080")})
    assert (place(finding), finding.severity.value) == (("app.py", 4), "high")
    assert "127.0.0.1" in finding.title


def test_an_exposed_port_that_nothing_listens_on(check, place):
    (finding,) = check("MLE0522", {"Dockerfile": DOCKER, "app.py": FLASK.format("host='0.0.0.0'")})
    assert (place(finding), finding.severity.value) == (("Dockerfile", 4), "medium")


def test_a_port_that_compose_publishes_and_nothing_listens_on(check, place):
    docker = 'FROM python:3.12\nCMD ["uvicorn", "app:app", "--host", "0.0.0.0", "--port", "8000"]\n'
    compose = 'services:\n  api:\n    build: .\n    ports:\n      - "80:8080"\n'
    (finding,) = check("MLE0522", {"Dockerfile": docker, "docker-compose.yml": compose})
    assert (place(finding), finding.severity.value) == (("docker-compose.yml", 5), "high")


def test_a_container_port_that_the_image_does_not_listen_on(check, place):
    docker = "FROM python:3.12\nCMD gunicorn -b 0.0.0.0:8000 app:app\n"
    (finding,) = check("MLE0522", {"Dockerfile": docker, "k8s/d.yaml": DEPLOYMENT.replace("PORT", "5000")})
    assert place(finding) == ("k8s/d.yaml", 12)


def test_a_service_that_sends_to_a_port_its_pods_do_not_have(check, place):
    service = "apiVersion: v1\nkind: Service\nmetadata: {name: s}\nspec:\n  selector: {app: api}\n  ports:\n"
    service += "    - port: 80\n      targetPort: http\n"
    files = {"d.yaml": DEPLOYMENT.replace("PORT", "5000"), "s.yaml": service}
    (finding,) = check("MLE0522", files)
    assert place(finding) == ("s.yaml", 8)
    files["s.yaml"] = service.replace("http", "5000")
    assert check("MLE0522", files) == []


@pytest.mark.parametrize(
    ("docker", "app"),
    [
        (DOCKER, FLASK.format("host='0.0.0.0', port=8080")),
        (DOCKER, "import os\n" + FLASK.format("host='0.0.0.0', port=int(os.environ['PORT'])")),
        ("FROM python:3.12\nENV PORT=8080\nEXPOSE $PORT\nCMD uvicorn app:app --host 0.0.0.0 --port $PORT\n", ""),
        ("FROM python:3.12\nEXPOSE 8080\nCMD uvicorn app:app --host 0.0.0.0 --port $PORT\n", ""),
        ("FROM python:3.12\nEXPOSE 8501\nCMD streamlit run app.py\n", ""),
        ("FROM python:3.12\nEXPOSE 9000\nCMD gunicorn -c conf.py app:app\n", ""),
        ("FROM python:3.12\nEXPOSE 80\nCMD python train.py\n", ""),
    ],
)
def test_ports_that_agree_or_are_not_known_are_left_alone(check, docker, app):
    assert check("MLE0522", {"Dockerfile": docker, "app.py": app}) == []


def test_a_program_that_shares_the_network_of_the_host_may_listen_on_loopback(check):
    compose = "services:\n  api:\n    build: .\n    network_mode: host\n"
    files = {"Dockerfile": DOCKER, "app.py": FLASK.format("port=8080"), "docker-compose.yml": compose}
    assert check("MLE0522", files) == []


def test_several_that_disagree_with_one_program_are_one_finding(check, place):
    compose = "services:\n  api:\n    build: .\n    ports: ['80:8080']\n"
    app = FLASK.format("host='0.0.0.0', port=5000")
    (finding,) = check("MLE0522", {"Dockerfile": DOCKER, "app.py": app, "docker-compose.yml": compose})
    assert (place(finding), finding.severity.value) == (("Dockerfile", 4), "high")
    assert [e.path for e in finding.evidence] == ["Dockerfile", "docker-compose.yml", "app.py"]


def test_an_address_in_the_same_word_as_its_option(check):
    for bound in ("-b 0.0.0.0:9999", "-b0.0.0.0:9999", "-b :9999"):
        docker = f'FROM python:3.12\nEXPOSE 9999\nCMD ["gunicorn", "{bound}", "wsgi:app"]\n'
        assert check("MLE0522", {"Dockerfile": docker, "wsgi.py": FLASK.format("")}) == []
