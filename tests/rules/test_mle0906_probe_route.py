import pytest

APP = "from fastapi import FastAPI\napp = FastAPI()\n@app.get('/health')\ndef health():\n    return {}\n"
DEPLOYMENT = """\
apiVersion: apps/v1
kind: Deployment
metadata: {name: api}
spec:
  template:
    spec:
      containers:
        - name: api
          image: ghcr.io/me/api:1
          ports:
            - {name: http, containerPort: 8000}
          readinessProbe:
            httpGet:
              path: %s
              port: %s
"""


def test_a_path_that_is_not_served_is_reported_at_its_line(check, place):
    (finding,) = check("MLE0906", {"app.py": APP, "d.yaml": DEPLOYMENT % ("/healthz", 8000)})
    assert (place(finding), finding.severity.value) == (("d.yaml", 14), "high")
    assert "/healthz" in finding.title


def test_a_named_port_that_the_container_lacks(check, place):
    (finding,) = check("MLE0906", {"app.py": APP, "d.yaml": DEPLOYMENT % ("/health", "web")})
    assert place(finding) == ("d.yaml", 14)


def test_a_health_check_of_the_image(check, place):
    docker = "FROM python:3.12\nHEALTHCHECK CMD curl -f http://localhost:8000/ping || exit 1\n"
    (finding,) = check("MLE0906", {"app.py": APP, "Dockerfile": docker})
    assert place(finding) == ("Dockerfile", 2)


@pytest.mark.parametrize("path", ["/health", "/api/v1/health", "/health?full=1", "/docs"])
def test_a_path_that_is_served_maybe_behind_a_prefix(check, path):
    assert check("MLE0906", {"app.py": APP, "d.yaml": DEPLOYMENT % (path, "http")}) == []


def test_routes_that_cannot_be_known_make_no_finding(check):
    app = APP + "app.mount('/x', other)\n"
    assert check("MLE0906", {"app.py": app, "d.yaml": DEPLOYMENT % ("/healthz", 8000)}) == []


def test_another_programs_probe_is_not_compared(check):
    redis = (DEPLOYMENT % ("/healthz", 8000)).replace("ghcr.io/me/api:1", "redis:7")
    assert check("MLE0906", {"app.py": APP, "d.yaml": redis}) == []


def test_checks_of_hosted_platforms(check, place):
    app = (
        "from flask import Flask\napp = Flask(__name__)\n@app.route('/', methods=['POST'])\ndef ask():\n    return ''\n"
    )
    engine = "runtime: python\nliveness_check:\n  path: '/alive'\n"
    (finding,) = check("MLE0906", {"app.py": app, "app.yaml": engine})
    assert place(finding) == ("app.yaml", 3)
    assert check("MLE0906", {"app.yaml": engine.replace("/alive", "/")}) == []
    (finding,) = check("MLE0906", {"render.yaml": "services:\n- type: web\n  healthCheckPath: /health\n"})
    assert place(finding) == ("render.yaml", 3)
