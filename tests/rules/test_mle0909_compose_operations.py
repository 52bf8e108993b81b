import pytest

TEXT = "services:\n  api:\n    build: .\n    ports: ['80:80']\n%s"


def test_a_service_without_either_is_low_at_its_name(check, place):
    (finding,) = check("MLE0909/operations", {"docker-compose.yml": TEXT % ""})
    assert (place(finding), finding.severity.value) == (("docker-compose.yml", 2), "low")


@pytest.mark.parametrize("line", ["    restart: always\n", "    healthcheck: {test: curl x}\n"])
def test_one_of_them_is_enough(check, line):
    assert check("MLE0909/operations", {"docker-compose.yml": TEXT % line}) == []


def test_a_health_check_of_the_image_counts(check):
    files = {"docker-compose.yml": TEXT % "", "Dockerfile": "FROM a\nHEALTHCHECK CMD curl localhost\n"}
    assert check("MLE0909/operations", files) == []
