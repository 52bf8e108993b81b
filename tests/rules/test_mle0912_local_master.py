import pytest

JOB = (
    "from pyspark.sql import SparkSession\nspark = SparkSession.builder.appName('x').master('local[*]').getOrCreate()\n"
)


def test_a_local_master_in_a_cluster_job_is_medium(check, place):
    (finding,) = check("MLE0912", {"job.py": JOB, "run.sh": "spark-submit --master yarn job.py\n"})
    assert (place(finding), finding.severity.value) == (("job.py", 2), "medium")


def test_without_a_cluster_it_is_low(check):
    (finding,) = check("MLE0912", {"job.py": JOB})
    assert finding.severity.value == "low"


@pytest.mark.parametrize(
    "text", ["import ray\nray.init()\n", JOB.replace("local[*]", "yarn"), JOB.replace(".master('local[*]')", "")]
)
def test_other_masters_are_fine(check, text):
    assert check("MLE0912", {"job.py": text}) == []


def test_a_setting_of_a_configuration_object(check, place):
    text = "from pyspark import SparkConf\nconf = SparkConf().setAppName('a').setMaster('local')\n"
    (finding,) = check("MLE0912", {"job.py": text})
    assert place(finding) == ("job.py", 2)
