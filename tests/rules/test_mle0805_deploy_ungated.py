import pytest

WHERE = ".github/workflows/cd.yml"
TEXT = """\
name: cd
on:
  push:
    branches: [main]
jobs:
  build:
    steps:
      - run: %s
  deploy:
    needs: build
    steps:
      - run: kubectl apply -f k8s/
"""


def test_a_deployment_that_waits_for_a_build_only(check, place):
    (finding,) = check("MLE0805", {WHERE: TEXT % "docker build ."})
    assert (place(finding), finding.severity.value) == ((WHERE, 10), "high")


def test_a_push_of_the_image_is_a_second_place(check):
    (finding,) = check("MLE0805", {WHERE: TEXT % "docker push x/y:latest"})
    assert [e.line_start for e in finding.evidence] == [10, 12, 8]


def test_tests_before_it_gate_it(check):
    assert check("MLE0805", {WHERE: TEXT % "pytest"}) == []


def test_tests_in_the_same_job_before_it_gate_it(check):
    text = "on: push\njobs:\n  a:\n    steps:\n      - run: pytest\n      - run: helm upgrade x ./c\n"
    assert check("MLE0805", {WHERE: text}) == []


@pytest.mark.parametrize(("order", "told"), [("test deploy", 0), ("deploy test", 1)])
def test_one_command_may_run_the_tests_before_it_ships(check, order, told):
    make = f"all: {order}\ntest:\n\tpytest\ndeploy:\n\tkubectl apply -f k8s/\n"
    text = "on: push\njobs:\n  a:\n    steps:\n      - run: make all\n"
    assert len(check("MLE0805", {WHERE: text, "Makefile": make})) == told


def test_another_workflow_with_tests_makes_it_medium(check):
    other = "name: tests\non: [push, pull_request]\njobs:\n  t:\n    steps:\n      - run: pytest\n"
    (finding,) = check("MLE0805", {WHERE: TEXT % "ls", ".github/workflows/t.yml": other})
    assert finding.severity.value == "medium"
    chained = (TEXT % "ls").replace("push:\n    branches: [main]", "workflow_run:\n    workflows: [tests]")
    assert check("MLE0805", {WHERE: chained, ".github/workflows/t.yml": other}) == []


def test_an_environment_may_ask_a_person(check):
    text = (TEXT % "ls").replace("    needs: build\n", "    needs: build\n    environment: production\n")
    (finding,) = check("MLE0805", {WHERE: text})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize("trigger", ["workflow_dispatch:", "release: {types: [published]}", "pull_request:"])
def test_a_person_starts_it_or_it_is_no_push(check, trigger):
    text = (TEXT % "ls").replace("push:\n    branches: [main]", trigger)
    assert check("MLE0805", {WHERE: text}) == []


def test_building_without_a_push_is_no_deployment(check):
    text = "on: push\njobs:\n  a:\n    steps:\n      - uses: docker/build-push-action@v6\n        with: {push: false}\n"
    assert check("MLE0805", {WHERE: text}) == []


def test_a_test_job_in_the_same_workflow_that_is_not_waited_for_is_high(check):
    text = (TEXT % "ls").replace("  deploy:\n", "  test:\n    steps:\n      - run: pytest\n  deploy:\n")
    (finding,) = check("MLE0805", {WHERE: text})
    assert finding.severity.value == "high"


def test_containers_started_for_a_test_are_no_deployment(check):
    text = "on: push\njobs:\n  a:\n    runs-on: %s\n    steps:\n      - run: docker compose up -d\n"
    assert check("MLE0805", {WHERE: text % "ubuntu-latest"}) == []
    (finding,) = check("MLE0805", {WHERE: text % "self-hosted"})
    assert finding.severity.value == "high"


def test_packaging_a_template_ships_nothing(check):
    line = "aws cloudformation package --template-file deploy/app.yml --s3-bucket b"
    text = f"on: push\njobs:\n  a:\n    steps:\n      - run: {line}\n"
    assert check("MLE0805", {WHERE: text}) == []
    (_,) = check("MLE0805", {WHERE: text.replace(line, "aws --region eu-west-1 cloudformation deploy --stack-name s")})


def test_the_script_of_travis_comes_before_the_later_stages(check):
    stage = "jobs:\n  include:\n  - stage: pypi\n    script: twine upload dist/*\n"
    assert check("MLE0805", {".travis.yml": f"script: pytest\n{stage}"}) == []
    (finding,) = check("MLE0805", {".travis.yml": f"script: make lint\n{stage}"})
    assert finding.severity.value == "high"
    (finding,) = check("MLE0805", {".travis.yml": f"script: make lint\n{stage}    if: tag IS present\n"})
    assert finding.severity.value == "medium"


def test_an_action_that_deploys_to_heroku(check):
    text = "on: push\njobs:\n  a:\n    steps:\n      - uses: {}\n"
    assert len(check("MLE0805", {WHERE: text.format("someone/heroku-docker-deploy@v1")})) == 1
    assert check("MLE0805", {WHERE: text.format("someone/heroku-status@v1")}) == []


def test_copies_of_a_pipeline_are_one_finding(check):
    text = "on: push\njobs:\n  a:\n    steps:\n      - run: docker push me/a\n"
    (finding,) = check("MLE0805", {WHERE: text, WHERE.replace("/workflows/", "/workflows/b"): text})
    assert len({e.path for e in finding.evidence}) == 2
