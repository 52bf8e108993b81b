DAG = """\
import pandas as pd
from airflow import DAG
from airflow.operators.python import PythonOperator
{top}
def train():
    pd.read_csv("in.csv")
with DAG("d", default_args={args}) as dag:
    PythonOperator(task_id="t", python_callable=train)
"""


def test_work_at_the_top_level(check, place):
    (finding,) = check(
        "MLE0414/airflow-fragile", {"dags/d.py": DAG.format(top="df = pd.read_csv('x.csv')", args="{'retries': 2}")}
    )
    assert place(finding) == ("dags/d.py", 4)


def test_no_retries(check, place):
    (finding,) = check("MLE0414/airflow-fragile", {"dags/d.py": DAG.format(top="", args="{}")})
    assert place(finding) == ("dags/d.py", 7)
    assert "retried" in finding.title


def test_declarations_only_and_retries(check):
    assert check("MLE0414/airflow-fragile", {"dags/d.py": DAG.format(top="", args="{'retries': 2}")}) == []


def test_no_retries_in_so_many_words(check):
    (finding,) = check("MLE0414/airflow-fragile", {"dags/d.py": DAG.format(top="", args="{'retries': 0}")})
    assert "retried" in finding.title
