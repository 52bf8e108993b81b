import pytest

from ml_engineer.assessment.docker import parse_image
from ml_engineer.assessment.endoflife import ended


@pytest.mark.parametrize("image", ["python", "huggingface/transformers-pytorch-cpu:latest"])
def test_an_image_that_moves_is_medium(check, place, image):
    (finding,) = check("MLE0520", {"Dockerfile": f"# x\nFROM {image}\n"})
    assert (place(finding), finding.severity.value) == (("Dockerfile", 2), "medium")


@pytest.mark.parametrize(
    "image", ["python:3.7", "python:3.8-slim", "ubuntu:16.04", "nvidia/cuda:10.2-cudnn7-runtime-ubuntu18.04"]
)
def test_an_image_past_its_end_is_high(check, image):
    (finding,) = check("MLE0520", {"Dockerfile": f"FROM {image}\n"})
    assert finding.severity.value == "high"


def test_images_upon_one_release_are_one_finding(check):
    files = {
        "a/Dockerfile": "FROM python:3.7\n",
        "b/Dockerfile": "FROM python:3.7-slim\n",
        "Dockerfile": "FROM python:3.8\n",
    }
    found = check("MLE0520", files)
    assert sorted([e.path for e in f.evidence] for f in found) == [["Dockerfile"], ["a/Dockerfile", "b/Dockerfile"]]


def test_a_release_that_has_just_ended_is_medium(check):
    (finding,) = check("MLE0520", {"Dockerfile": "FROM python:3.10-slim\n"})
    assert finding.severity.value == "medium"


@pytest.mark.parametrize(
    "text",
    [
        "FROM python:3.12-slim\n",
        "FROM python@sha256:abc\n",
        "ARG V=3.12\nFROM python:${V}\n",
        "FROM $IMAGE\n",
        "FROM python AS build\nRUN pip wheel .\nFROM python:3.12-slim\nCOPY --from=build /w /w\n",
        "FROM scratch\n",
    ],
)
def test_fixed_unknown_and_builder_images_are_left_alone(check, text):
    assert check("MLE0520", {"Dockerfile": text}) == []


def test_a_development_image_is_reported_unless_something_is_compiled(check):
    base = "FROM nvidia/cuda:12.4.1-devel-ubuntu22.04\n"
    (finding,) = check("MLE0520", {"Dockerfile": base + "RUN pip install torch\n"})
    assert "development" in finding.title
    assert check("MLE0520", {"Dockerfile": base + "RUN pip install flash-attn\n"}) == []


def test_nightly_packages_are_reported_at_their_line(check, place):
    text = "FROM python:3.12\nRUN pip install a \\\n  && pip install --pre torch\n"
    (finding,) = check("MLE0520", {"Dockerfile": text})
    assert place(finding) == ("Dockerfile", 3)


@pytest.mark.parametrize(
    ("image", "what"),
    [
        ("python:3.9-slim-buster", "Debian buster"),
        ("tensorflow/tensorflow:1.15.2-gpu", "TensorFlow 1"),
        ("continuumio/miniconda3:4.7.12", "Python 3.7 of Miniconda"),
        ("node:16-alpine", "Node.js 16"),
        ("debian:9", "Debian 9"),
        ("ubuntu:focal-20210101", "Ubuntu focal"),
        ("tiangolo/uvicorn-gunicorn-fastapi:python3.7", "Python 3.7"),
    ],
)
def test_the_table_knows_what_an_image_brings(image, what):
    found = ended(parse_image(image))
    assert found is not None
    assert found.what == what


@pytest.mark.parametrize("image", ["python:3.13", "python:3", "ubuntu:24.04", "redis:7", "pytorch/pytorch:1.9.0"])
def test_what_is_supported_or_not_known_has_no_end(image):
    assert ended(parse_image(image)) is None


def test_the_python_that_another_image_names_in_its_tag(check):
    (finding,) = check("MLE0520", {"Dockerfile": "FROM apache/airflow:2.2.4-python3.7\nUSER airflow\n"})
    assert (finding.severity, "Python 3.7" in finding.title) == ("high", True)


def test_a_dockerfile_with_the_services_name_behind_it(check):
    (finding,) = check("MLE0520", {"DockerfileCelery": "FROM nvidia/cuda:12.3.1-base-ubuntu20.04\nCMD ['x']\n"})
    assert "Ubuntu 20.04" in finding.title
    assert check("MLE0520", {"DockerfileCelery": "FROM python:3.12.1-slim\n", "DockerfileParser.md": "FROM a\n"}) == []
