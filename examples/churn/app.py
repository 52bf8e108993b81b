import traceback

import pandas as pd
from flask import Flask, jsonify, request, send_file

from utils import load_pickle

app = Flask(__name__)

FEATURES = [
    "tenure_months", "contract", "internet", "paperless", "partner", "dependents",
    "support_calls", "monthly_charges", "total_charges", "tenure_years", "charge_per_month", "is_new",
]


def encode(df):
    df = df.copy()
    df["contract"] = df["contract"].map({"month-to-month": 0, "one-year": 1, "two-year": 2})
    df["internet"] = df["internet"].map({"none": 0, "dsl": 1, "fiber": 2})
    df["paperless"] = (df["paperless"] == "yes").astype(int)
    df["partner"] = (df["partner"] == "yes").astype(int)
    df["dependents"] = (df["dependents"] == "yes").astype(int)
    df["tenure_years"] = df["tenure_months"] / 12
    df["charge_per_month"] = df["total_charges"] / df["tenure_months"].clip(lower=1)
    df["is_new"] = (df["tenure_months"] < 6).astype(int)
    return df


def score(df):
    # loaded here so that a new model is picked up without a restart
    scaler = load_pickle("models/scaler.pkl")
    model = load_pickle("models/churn_model.pkl")
    df["total_charges"] = df["total_charges"].fillna(0)
    df = encode(df)
    return model.predict_proba(scaler.transform(df[FEATURES]))[:, 1]


@app.route("/")
def index():
    return "Churn API. POST a customer to /predict"


@app.route("/predict", methods=["POST"])
def predict():
    data = request.get_json()
    print("request:", data)
    try:
        proba = score(pd.DataFrame([data]))[0]
        return jsonify({"churn": bool(proba > 0.5), "probability": float(proba)})
    except Exception:
        return jsonify({"error": traceback.format_exc()}), 500


@app.route("/predict_csv", methods=["POST"])
def predict_csv():
    df = pd.read_csv(request.files["file"])
    missing = [c for c in ("contract", "internet", "total_charges") if c not in df.columns]
    if missing:
        logger.warning("columns missing in upload: %s", missing)
        return jsonify({"error": "missing columns", "columns": missing}), 400
    try:
        df["total_charges"] = df["total_charges"].astype(float)
    except Exception as e:
        print("could not convert total_charges", e)
    df["churn_probability"] = score(df)
    df.to_csv("output.csv", index=False)
    return send_file("output.csv", as_attachment=True)


if __name__ == "__main__":
    app.run(host="0.0.0.0", port=5000, debug=True)
