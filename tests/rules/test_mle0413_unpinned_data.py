import json

import pytest

CODE = """\
import pandas as pd
from sklearn.svm import SVC
URL = "{url}"
df = pd.read_csv(URL)
SVC().fit(df[["a"]], df["b"])
"""


def test_data_from_an_address(check, place):
    (finding,) = check("MLE0413", {"t.py": CODE.format(url="https://example.org/wine.csv")})
    assert place(finding) == ("t.py", 4)


@pytest.mark.parametrize(
    "url", ["data/wine.csv", f"https://example.org/{'a1' * 20}/wine.csv", "https://zenodo.org/record/123/wine.csv"]
)
def test_local_or_fixed_data(check, url):
    assert check("MLE0413", {"t.py": CODE.format(url=url)}) == []


def test_a_digest_that_is_compared(check):
    code = (
        "import urllib.request, hashlib\ndef fetch_data():\n"
        "    urllib.request.urlretrieve('https://example.org/d.zip', 'd.zip')\n"
        "    assert hashlib.sha256(open('d.zip', 'rb').read()).hexdigest() == WANTED\n"
    )
    assert check("MLE0413", {"download_data.py": code}) == []
    assert len(check("MLE0413", {"download_data.py": code.rsplit("    assert", 1)[0]})) == 1


def test_weights_are_another_rule(check):
    code = "import urllib.request\nurllib.request.urlretrieve('https://example.org/model.pth', 'm.pth')\n"
    assert check("MLE0413", {"download.py": code}) == []


def test_a_training_that_a_service_starts_fetches_its_data_too(check, place):
    code = """
        import pandas as pd, requests
        from fastapi import FastAPI
        from sklearn.linear_model import LinearRegression
        app = FastAPI()
        def fetch():
            url = "https://example.org/timeseries.json"
            return pd.DataFrame(requests.get(url=url).json())
        @app.post("/predict")
        def predict(x: float):
            rows = fetch()
            model = LinearRegression().fit(rows[["a"]], rows["b"])
            return model.predict([[x]])
        """
    (finding,) = check("MLE0413", {"api.py": code})
    assert place(finding) == ("api.py", 8)


TRAINER = {"t.py": "from sklearn.svm import SVC\nSVC().fit(X, y)\n"}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("wget -nc http://example.org/Flowers.zip", True),
        ("kaggle competitions download -c titanic", True),
        ("wget http://example.org/Flowers.zip && sha256sum -c sums", False),
        ("wget http://example.org/net_weights.zip", False),
        ("curl -O http://example.org/setup.py", False),
    ],
)
def test_a_script_that_fetches_the_data(check, place, line, found):
    findings = check("MLE0413", {**TRAINER, "get_data.sh": f"#!/bin/bash\nmkdir -p data\n{line}\n"})
    assert [place(finding) for finding in findings] == ([("get_data.sh", 3)] if found else [])
    other = {**TRAINER, "get_data.sh": "echo\n"}
    assert check("MLE0413", {**other, "guide.sh": "#!/bin/bash\nwget http://example.org/cudnn.zip\n"}) == []
    assert check("MLE0413", {**other, "install.sh": f"#!/bin/bash\n{line}\n"}) == []
    assert check("MLE0413", {"get_data.sh": f"#!/bin/bash\n{line}\n", "t.py": "x = 1\n"}) == []


PLOT = [{"output_type": "display_data", "metadata": {}, "data": {"image/png": "iVBORmd5K=="}}]  # no digest


def test_a_notebook_that_fetches_the_data(check, place):
    cells = ["!kaggle datasets download -d someone/flowers", "from sklearn.svm import SVC\nSVC().fit(X, y)"]
    notebook = {
        "cells": [
            {"cell_type": "code", "execution_count": 1, "metadata": {}, "outputs": PLOT, "source": cell}
            for cell in cells
        ],
        "metadata": {"language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    (finding,) = check("MLE0413", {"t.ipynb": json.dumps(notebook)})
    assert finding.evidence[0].path == "t.ipynb" and finding.evidence[0].cell == 0


def test_the_client_of_kaggle(check, place):
    code = "from kaggle import api\ndef fetch(name):\n    api.competition_download_cli(name, path='d')\n"
    (finding,) = check("MLE0413", {**TRAINER, "fetch.py": code})
    assert place(finding) == ("fetch.py", 3)


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("aws s3 cp 's3://open-data/trip data/green.csv' data/green.csv", 1),
        ("gsutil -m cp gs://open-data/rides.parquet data/", 1),
        ("aws s3 cp data/green.csv s3://my-bucket/green.csv", 0),
    ],
)
def test_tables_from_a_bucket(check, line, found):
    assert len(check("MLE0413", {**TRAINER, "get_data.sh": f"#!/bin/bash\n{line}\n"})) == found


def test_a_service_that_a_program_extracts_from(check, place):
    code = "import requests\ndef extract():\n    return requests.get('https://open.org/r/a.json?limit=9').json()\n"
    (finding,) = check("MLE0413", {**TRAINER, "extract.py": code})
    assert place(finding) == ("extract.py", 3)


def test_quotations_that_change_every_day(check, place):
    code = "import yfinance as yf\nfrom sklearn.svm import SVR\ndf = yf.download('AAPL')\nSVR().fit(df, df)\n"
    (finding,) = check("MLE0413", {"t.py": code})
    assert place(finding) == ("t.py", 3)


def test_a_program_in_the_folder_of_data_fetches_them(check, place):
    code = "import wget\nwget.download('https://open.org/sets/an4.tar.gz')\n"
    (finding,) = check("MLE0413", {**TRAINER, "data/an4.py": code})
    assert place(finding) == ("data/an4.py", 2)


def test_an_object_of_a_bucket(check, place):
    code = "import boto3, pandas as pd\nfrom sklearn.svm import SVC\nbucket = boto3.resource('s3').Object('b', 'k')\n"
    code += "bucket.download_file('rides.csv')\ndf = pd.read_csv('rides.csv')\nSVC().fit(df, df)\n"
    (finding,) = check("MLE0413", {"t.py": code})
    assert place(finding) == ("t.py", 4)
    assert check("MLE0413", {"t.py": code.replace("'rides.csv')\ndf", "'m.joblib')\ndf")}) == []


def test_a_table_of_a_bucket_without_its_version(check, place):
    code = """
        import boto3, pandas as pd
        from sklearn.svm import SVC
        thing = boto3.resource("s3").Object(BUCKET, f"{PREFIX}/data/cards.zip")
        thing.download_file("cards.zip"MORE)
        df = pd.read_csv("cards.csv")
        SVC().fit(df, df.y)
        """
    (finding,) = check("MLE0413", {"t.py": code.replace("MORE", "")})
    assert place(finding) == ("t.py", 5)
    assert check("MLE0413", {"t.py": code.replace("MORE", ", ExtraArgs={'VersionId': V}")}) == []


def test_a_notebook_that_fetches_by_the_id_of_a_drive(check):
    cells = ["!gdown --id 1aRXGcJlIkuC6uj1 --output d.csv", "import pandas as pd\ndf = pd.read_csv('d.csv')",
             "from sklearn.svm import SVC\nSVC().fit(df[['a']], df['b'])"]  # fmt: skip
    notebook = {"cells": [{"cell_type": "code", "source": c, "outputs": [], "metadata": {}} for c in cells]}
    text = json.dumps({**notebook, "metadata": {}, "nbformat": 4, "nbformat_minor": 4})
    assert len(check("MLE0413", {"a.ipynb": text})) == 1
    assert check("MLE0413", {"a.ipynb": text.replace("d.csv", "d.pth")}) == []


def test_an_address_in_a_variable_of_a_script(check, place):
    script = "if [ $1 == a ]; then\nURL=https://open.org/celeba.zip?dl=0\nZIP=./data/celeba.zip\nwget -N $URL -O $ZIP\n"
    files = {**TRAINER, "download.sh": script + "else\nZIP=./models/net.zip\nwget $URL -O $ZIP\nfi\n"}
    (finding,) = check("MLE0413", files)
    assert [e.line_start for e in finding.evidence] == [4]


def test_an_address_that_a_class_of_settings_hands_on(check, place):
    code = """
        import urllib.request as request
        class Ingestion:
            def fetch(self):
                request.urlretrieve(url=self.config.source_url, filename="d.zip")
        """
    text = "ingestion:\n  source_url: https://example.org/{}/rides.zip\n"
    (finding,) = check("MLE0413", {"data_ingestion.py": code, "config/config.yaml": text.format("main")})
    assert place(finding) == ("data_ingestion.py", 5)
    served = "import flask\nfrom data_ingestion import Ingestion\napp = flask.Flask('a')\n@app.route('/train')\n"
    assert len(check("MLE0413", {"app.py": f"{served}def f():\n    Ingestion().fetch()\n"})) == 1
    assert check("MLE0413", {"config/config.yaml": text.format("a1" * 20)}) == []


def test_a_script_that_downloads_archives_beside_a_training(check, place):
    script = "#!/bin/bash\nwget http://example.org/12/dev-clean.tar.gz\ntar xzf dev-clean.tar.gz\n"
    files = {"download_speech.sh": script, "train.py": CODE.format(url="a.csv")}
    (finding,) = check("MLE0413", files)
    assert place(finding) == ("download_speech.sh", 2)


def test_what_a_cache_fetches_by_the_address_that_stands_for_an_option(check, place):
    code = "from transformers import cached_path\nURL = 'https://example.org/chat.json'\n"
    code += "def get_data(path):\n    path = path or URL\n    return open(cached_path(path))\n"
    train = "from load_data import get_data\nfrom sklearn.svm import SVC\nSVC().fit(get_data(None), y)\n"
    (finding,) = check("MLE0413", {"load_data.py": code, "train.py": train})
    assert place(finding) == ("load_data.py", 5)


def test_an_address_that_the_caller_hands_over(check, place):
    code = (
        "import requests\nURL = '{}'\ndef fetch(url, path):\n"
        "    open(path, 'wb').write(requests.get(url).content)\nfetch(URL, 'd')\n"
    )
    (finding,) = check("MLE0413", {"prepare_data.py": code.format("https://example.org/api/datasets/fruit")})
    assert place(finding) == ("prepare_data.py", 4)
    assert check("MLE0413", {"prepare_data.py": code.format("https://example.org/api/users")}) == []


def test_a_request_to_a_service_downloads_nothing(check):
    script = "curl {} --data-binary @data/one.json\n"
    train = {"train.py": CODE.format(url="a.csv")}
    assert check("MLE0413", {"ask.sh": script.format("-X POST https://example.org/predict"), **train}) == []
    assert check("MLE0413", {"get_data.sh": "curl http://localhost:80/data.csv -o data.csv\n", **train}) == []
    assert len(check("MLE0413", {"get_data.sh": "curl https://example.org/d.csv -o data.csv\n", **train})) == 1


def test_a_script_called_download(check):
    files = {"download.sh": "wget -qO- https://x.org/a/de-en.tgz | tar xz\n"}
    files["train.py"] = "from sklearn.svm import SVC\nSVC().fit(x, y)\n"
    assert len(check("MLE0413", files)) == 1
    files["download.sh"] += "sha256sum -c sums\n"
    assert check("MLE0413", files) == []


FETCH = """\
import urllib.request
SOURCES = [{"url": "https://example.org/corpus-v12.tgz", "name": "a"}]
def main():
    for source in SOURCES:
        download_and_extract(source["name"], source["url"])
def download_and_extract(name, url):
    _download_file(url)
def _download_file(url):
    urllib.request.urlretrieve(url, filename=url.split("/")[-1])
main()
"""


def test_an_address_out_of_a_list_of_sources(check, place):
    (finding,) = check("MLE0413", {"preprocess.py": FETCH})
    assert place(finding) == ("preprocess.py", 9)
    assert check("MLE0413", {"preprocess.py": FETCH.replace("corpus-v12.tgz", "model.pth")}) == []


def test_data_of_a_competition(check, place):
    (finding,) = check("MLE0413", {"t.py": "import kagglehub\np = kagglehub.competition_download('sales')\n"})
    assert place(finding) == ("t.py", 2)
