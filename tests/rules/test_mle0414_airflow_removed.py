DAG = """\
from airflow import DAG
from airflow.operators.bash_operator import BashOperator
dag = DAG("d", schedule_interval="@daily")
"""


def test_old_names_where_any_version_may_be_installed(check, place):
    (finding,) = check("MLE0414/airflow-removed", {"dags/d.py": DAG})
    assert place(finding) == ("dags/d.py", 2)
    assert len(finding.evidence) == 2


def test_a_pin_below_the_removing_version(check):
    assert check("MLE0414/airflow-removed", {"dags/d.py": DAG, "requirements.txt": "apache-airflow==2.9.1\n"}) == []


def test_a_file_that_does_not_parse(check, place):
    (finding,) = check("MLE0414/airflow-removed", {"dags/d.py": DAG + "print 'python 2'\n"})
    assert place(finding) == ("dags/d.py", 2)


def test_current_names(check):
    code = "from airflow.sdk import DAG\ndag = DAG('d', schedule='@daily')\n"
    assert check("MLE0414/airflow-removed", {"dags/d.py": code}) == []


def test_an_image_of_an_older_release(check):
    old = DAG.replace("from airflow.operators.bash_operator import BashOperator\n", "")
    assert check("MLE0414/airflow-removed", {"dags/d.py": old, "Dockerfile": "FROM apache/airflow:2.8.1\n"}) == []
    assert len(check("MLE0414/airflow-removed", {"dags/d.py": old, "Dockerfile": "FROM apache/airflow:3.0.1\n"})) == 1
