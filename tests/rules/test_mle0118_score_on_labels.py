import pytest

HEAD = "from sklearn.metrics import roc_auc_score, log_loss\nfrom sklearn.svm import SVC, SVR\nm = SVC().fit(X, y)\n"


def test_an_area_of_labels(check, place):
    (finding,) = check("MLE0118", {"t.py": HEAD + "p = m.predict(Z)\nprint(roc_auc_score(t, p))\n"})
    assert place(finding) == ("t.py", 5)
    assert "ROC AUC" in finding.title


def test_a_threshold_gives_labels_too(check):
    assert len(check("MLE0118", {"t.py": HEAD + "print(log_loss(t, (s > 0.5).astype(int)))\n"})) == 1


def test_probabilities_and_scores_are_right(check):
    code = HEAD + (
        "print(roc_auc_score(t, m.predict_proba(Z)[:, 1]))\nprint(roc_auc_score(t, m.decision_function(Z)))\n"
        "print(roc_auc_score(t, SVR().fit(X, y).predict(Z)))\n"
    )
    assert check("MLE0118", {"t.py": code}) == []


def test_predict_of_a_network_gives_probabilities(check):
    code = "from sklearn.metrics import roc_auc_score\nfrom keras.models import load_model\nm = load_model('m.h5')\n"
    assert check("MLE0118", {"t.py": code + "print(roc_auc_score(t, m.predict(Z)))\n"}) == []


def test_a_booster_answers_with_probabilities(check):
    code = (
        "import pickle, xgboost\nfrom sklearn.metrics import roc_curve\nmodel = pickle.load(open('m', 'rb'))\n"
        "X = xgboost.DMatrix(rows)\np = model.predict(X)\nroc_curve(y, p)\n"
    )
    assert check("MLE0118", {"e.py": code}) == []


@pytest.mark.parametrize(("column", "found"), [('"prediction"', 1), ('"rawPrediction"', 0), ('"probability"', 0)])
def test_the_column_that_spark_ranks_by(check, column, found):
    code = (
        "from pyspark.ml.evaluation import BinaryClassificationEvaluator\n"
        f'e = BinaryClassificationEvaluator(labelCol="y", rawPredictionCol={column})\n'
    )
    assert len(check("MLE0118", {"t.py": code})) == found
