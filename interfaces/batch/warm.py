"""What the children of a batch are forked from: everything imported, and one small repository reviewed.

The rehearsal builds what is built on first use: validators, templates, compiled patterns. Each child finds it made.
"""

import gc
import tempfile
from pathlib import Path

import ml_engineer.interfaces.pool  # noqa: F401
from ml_engineer.assessment.parallel import work_alone
from ml_engineer.interfaces.batch import unit
from ml_engineer.interfaces.batch.clone import Cache
from ml_engineer.interfaces.batch.sources import Source
from ml_engineer.interfaces.options import FORMATS

_SAMPLE = {
    "app.py": "import pickle\nimport torch\nfrom flask import Flask, request\n\napp = Flask(__name__)\n"
    "model = pickle.load(open('model.pkl', 'rb'))\n\n\n@app.route('/predict', methods=['POST'])\n"
    "def predict():\n    return str(model.predict(request.json['x']))\n\n\n"
    "if __name__ == '__main__':\n    app.run(debug=True)\n",
    "train.py": "import pandas as pd\nfrom sklearn.linear_model import LogisticRegression\n"
    "from sklearn.model_selection import train_test_split\n\nframe = pd.read_csv('data.csv')\n"
    "a, b, c, d = train_test_split(frame[['x']], frame['y'])\nmodel = LogisticRegression().fit(a, c)\n"
    "print(model.score(a, c))\n",
    "requirements.txt": "flask\nscikit-learn==1.5.2\npandas>=2\ntorch\n",
    "Dockerfile": 'FROM python:latest\nCOPY . .\nRUN pip install -r requirements.txt\nCMD ["python", "app.py"]\n',
    "docker-compose.yml": "services:\n  api:\n    build: .\n    ports: ['5000:5000']\n",
    ".github/workflows/ci.yml": "on: push\njobs:\n  test:\n    runs-on: ubuntu-latest\n    steps:\n"
    "      - uses: actions/checkout@v4\n      - run: pytest || true\n",
    "k8s/deployment.yaml": "apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: api}\nspec:\n  template:\n"
    "    spec:\n      containers: [{name: api, image: 'api:latest'}]\n",
    "README.md": "# Sample\n\nAccuracy is 0.9.\n",
}


def rehearse() -> None:
    """Review the sample in all formats, and forget it."""
    with tempfile.TemporaryDirectory() as folder:
        for name, text in _SAMPLE.items():
            path = Path(folder) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        source = Source(folder, "path")
        report, briefs = unit.review_offline(source, unit.Target(Path(folder), ""))
        unit.product(report, unit.Order(source, Cache(Path(folder)), FORMATS), briefs)


work_alone()
gc.disable()
rehearse()
gc.collect()
gc.freeze()
