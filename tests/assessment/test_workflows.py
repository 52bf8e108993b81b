"""CI files of several services in one shape."""

import textwrap

from ml_engineer.assessment.repo import Repo


def workflow(tmp_path, path, text):
    target = tmp_path / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(textwrap.dedent(text))
    (found,) = Repo.open(tmp_path).workflows
    return found


def test_github(tmp_path):
    found = workflow(
        tmp_path,
        ".github/workflows/ci.yml",
        """\
        on:
          push: {branches: [main]}
          schedule: [{cron: "0 1 * * *"}]
        defaults: {run: {working-directory: ./src}}
        jobs:
          test:
            runs-on: ubuntu-latest
            steps:
              - uses: actions/setup-python@v5
                with: {python-version: "3.11"}
              - name: tests
                continue-on-error: true
                run: |
                  pip install .
                  pytest
          deploy:
            needs: [test]
            environment: production
            steps:
              - run: kubectl apply -f k8s
        """,
    )
    test, deploy = found.jobs
    assert set(found.triggers) == {"push", "schedule"}
    assert test.steps[0].inputs["python-version"].text == "3.11"
    assert test.steps[1].lines == [(14, "pip install ."), (15, "pytest")]
    assert test.steps[1].may_fail.line == 12
    assert test.steps[1].folder == "src"
    assert [job.name for job in deploy.before()] == ["test"]
    assert deploy.environment.text == "production"


def test_gitlab_stages_become_needs_and_extends_is_followed(tmp_path):
    found = workflow(
        tmp_path,
        ".gitlab-ci.yml",
        """\
        stages: [test, deploy]
        .base:
          script: [pytest]
        unit:
          extends: .base
          stage: test
          allow_failure: true
        release:
          stage: deploy
          when: manual
          script:
            - ./deploy.sh
        """,
    )
    unit, release = found.jobs
    assert unit.steps[0].lines == [(3, "pytest")]
    assert unit.may_fail is not None
    assert release.needs == ("unit",)
    assert release.manual


def test_azure_stages(tmp_path):
    found = workflow(
        tmp_path,
        "azure-pipelines.yml",
        """\
        trigger: [main]
        stages:
          - stage: Test
            jobs:
              - job: unit
                steps:
                  - script: pytest
                    displayName: Unit tests
          - stage: Deploy
            jobs:
              - deployment: web
                environment: prod
                strategy: {runOnce: {deploy: {steps: [{task: AzureWebApp@1}]}}}
        """,
    )
    unit, web = found.jobs
    assert unit.steps[0].lines == [(7, "pytest")]
    assert web.needs == ("unit",)
    assert web.steps[0].uses == "AzureWebApp@1"


def test_circleci(tmp_path):
    found = workflow(
        tmp_path,
        ".circleci/config.yml",
        """\
        version: 2.1
        jobs:
          test:
            docker: [{image: "cimg/python:3.11"}]
            steps:
              - checkout
              - run: {name: t, command: pytest}
          deploy:
            steps:
              - run: ./deploy
        workflows:
          main:
            jobs:
              - test
              - deploy: {requires: [test]}
        """,
    )
    assert [(j.name, j.needs, [s.script for s in j.steps]) for j in found.jobs] == [
        ("test", (), ["pytest"]),
        ("deploy", ("test",), ["./deploy"]),
    ]


def test_travis_and_jenkins(tmp_path):
    found = workflow(tmp_path, ".travis.yml", "install: pip install .\nscript:\n  - pytest\n")
    assert [s.lines for s in found.jobs[0].steps] == [[(1, "pip install .")], [(3, "pytest")]]
    (tmp_path / ".travis.yml").unlink()
    found = workflow(
        tmp_path,
        "Jenkinsfile",
        """\
        pipeline {
          stages {
            stage('Test') { steps { sh 'pytest' } }
            stage('Ship') {
              steps {
                sh '''
                  docker build -t x .
                  docker push x
                '''
              }
            }
          }
        }
        """,
    )
    assert [(j.name, j.line, j.needs, [s.lines for s in j.steps]) for j in found.jobs] == [
        ("Test", 3, (), [[(3, "pytest")]]),
        ("Ship", 4, ("Test",), [[(7, "docker build -t x ."), (8, "docker push x")]]),
    ]


def test_broken_and_empty_files_give_a_workflow_without_jobs(tmp_path):
    assert workflow(tmp_path, ".github/workflows/x.yml", "on: [push\n").jobs == []
    assert workflow(tmp_path, ".github/workflows/x.yml", "").jobs == []


def test_pipelines_in_a_folder_of_cloud_build(tmp_path):
    (tmp_path / "cloudbuild").mkdir()
    (tmp_path / "cloudbuild" / "pr-checks.yaml").write_text("steps:\n  - name: python:3.12\n    script: pytest\n")
    (workflow,) = Repo.open(tmp_path).workflows
    assert workflow.system == "cloudbuild"


def test_a_jenkinsfile_of_plugins_alone_is_known_and_one_with_other_words_is_not(tmp_path):
    text = (
        "pipeline {\n  agent any\n  stages {\n    stage('Build') {\n      steps {\n        script {\n"
        "          dockerImage = docker.build 'user/app'\n        }\n      }\n    }\n  }\n}\n"
    )
    (tmp_path / "Jenkinsfile").write_text(text)
    (workflow,) = Repo.open(tmp_path).workflows
    assert [step.uses for step in workflow.steps] == ["docker.build"]
    (tmp_path / "Jenkinsfile").write_text(text.replace("script {", "runTests('all')\n        script {"))
    (workflow,) = Repo.open(tmp_path).workflows
    assert list(workflow.steps) == []
