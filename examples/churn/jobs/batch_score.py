"""Nightly scoring of all customers: python jobs/batch_score.py models/churn_model.pkl"""
import os
import pickle
import sys

import pandas as pd
import psycopg2

sys.path.append(os.path.join(os.path.dirname(__file__), ".."))

from app import encode
from train import FEATURES

DB_HOST = os.environ.get("DB_HOST", "db.crm.internal")
DB_PASSWORD = "churn-Pr0d-2023"


def main():
    conn = psycopg2.connect(host=DB_HOST, dbname="crm", user="churn", password=DB_PASSWORD)
    df = pd.read_sql("SELECT * FROM customers", conn)

    model = pickle.load(open(sys.argv[1], "rb"))
    scaler = pickle.load(open("models/scaler.pkl", "rb"))

    df = encode(df)
    results = pd.DataFrame(columns=["customer_id", "churn_probability"])
    for _, row in df.iterrows():
        x = scaler.transform(row[FEATURES].values.reshape(1, -1))
        p = model.predict_proba(x)[0][1]
        results = results.append({"customer_id": row["customer_id"], "churn_probability": p}, ignore_index=True)

    results.to_csv("/home/anna/exports/churn_scores.csv", index=False)
    print("scored", len(results), "customers")


if __name__ == "__main__":
    main()
