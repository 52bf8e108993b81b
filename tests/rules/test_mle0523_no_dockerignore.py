def test_a_whole_copy_without_dockerignore_is_reported_at_the_copy(check, place):
    (finding,) = check("MLE0523/dockerignore", {"Dockerfile": "FROM python:3.12\nCOPY . /app\n", "a.py": ""})
    assert place(finding) == ("Dockerfile", 2)
    assert finding.evidence[0].searched.files == [".dockerignore"]


def test_a_dockerignore_of_the_context_or_of_the_file_is_enough(check):
    docker = "FROM python:3.12\nCOPY . /app\n"
    assert check("MLE0523/dockerignore", {"Dockerfile": docker, ".dockerignore": ".git\n"}) == []
    assert check("MLE0523/dockerignore", {"Dockerfile": docker, "Dockerfile.dockerignore": ".git\n"}) == []


def test_copying_parts_needs_none(check):
    assert check("MLE0523/dockerignore", {"Dockerfile": "FROM python:3.12\nCOPY src /app\n", "src/a.py": ""}) == []
