import pytest


def test_an_image_without_user_is_reported_at_its_last_from(check, place):
    (finding,) = check(
        "MLE0519", {"Dockerfile": "FROM python:3.12 AS build\nUSER app\nFROM python:3.12\nCMD python a\n"}
    )
    assert place(finding) == ("Dockerfile", 3)


def test_user_root_is_reported_where_it_stands(check, place):
    (finding,) = check("MLE0519", {"Dockerfile": "FROM python:3.12\nUSER app\nUSER root\n"})
    assert place(finding) == ("Dockerfile", 3)


@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.12\nUSER 10001\n",
        "FROM python:3.12 AS base\nUSER app\nFROM base\n",
        "FROM gcr.io/distroless/python3:nonroot\n",
        "FROM public.ecr.aws/lambda/python:3.12\n",
        "FROM $BASE\n",
        'FROM python:3.12\nENTRYPOINT ["gosu", "app", "python"]\n',
        "FROM scratch\nCOPY a /a\n",
    ],
)
def test_other_users_and_unknown_ones_are_left_alone(check, text):
    assert check("MLE0519", {"Dockerfile": text}) == []


def test_a_development_container_is_no_subject(check):
    assert check("MLE0519", {".devcontainer/Dockerfile": "FROM python:3.12\n"}) == []


def test_a_base_image_whose_user_needs_sudo_is_not_root(check):
    text = "FROM quay.io/acme/base:1.2\nRUN sudo apt-get update && sudo apt-get -y install git\nCMD python app.py\n"
    assert check("MLE0519", {"Dockerfile": text}) == []
    assert len(check("MLE0519", {"Dockerfile": text.replace("sudo apt", "apt")})) == 1
    installed = "FROM ubuntu:24.04\nRUN apt-get update && apt-get install -y curl sudo \\\n    vim\n"
    assert len(check("MLE0519", {"Dockerfile": installed})) == 1


def test_an_unknown_base_in_which_the_build_installs_packages_of_the_system(check, place):
    text = "ARG BASE\nFROM ${BASE}\nRUN apt-get update && apt-get install -y git\nCMD python app.py\n"
    (finding,) = check("MLE0519", {"Dockerfile": text})
    assert place(finding) == ("Dockerfile", 2)
    assert check("MLE0519", {"Dockerfile": text.replace("&& apt", "&& sudo apt")}) == []
    assert check("MLE0519", {"Dockerfile": text.replace("CMD", "USER 1000\nCMD")}) == []
