"""Train the churn model. Run from the project root: python train.py"""
import warnings

import numpy as np
import pandas as pd
from imblearn.over_sampling import SMOTE
from sklearn.ensemble import GradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import accuracy_score
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

from utils import save_pickle

warnings.filterwarnings("ignore")

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


df = pd.read_csv("data/customers.csv")
print("rows:", len(df), "churn rate:", df["churned"].mean())

df.drop_duplicates()
try:
    df["total_charges"] = df["total_charges"].astype(float)
except Exception:
    pass
df[df["tenure_months"] == 0]["total_charges"] = 0
df["total_charges"] = df["total_charges"].fillna(df["total_charges"].mean())
df["total_charges"] = np.log1p(df["total_charges"])

df = encode(df)
X = df[FEATURES]
y = df["churned"]

scaler = StandardScaler()
X_scaled = scaler.fit_transform(X)

# classes are 70/30, balance them
X_bal, y_bal = SMOTE(k_neighbors=5).fit_resample(X_scaled, y)

X_train, X_test, y_train, y_test = train_test_split(X_bal, y_bal, test_size=0.2)

candidates = {
    "logreg": LogisticRegression(C=0.5, max_iter=500),
    "rf": RandomForestClassifier(n_estimators=25, max_depth=5, min_samples_leaf=4),
    "gb": GradientBoostingClassifier(n_estimators=60, learning_rate=0.1, max_depth=3, subsample=0.8),
}

if False:  # takes forever, parameters above come from here
    grid = GridSearchCV(RandomForestClassifier(), {"max_depth": [3, 5, 8], "n_estimators": [10, 25, 100]}, cv=5)
    grid.fit(X_train, y_train)
    print(grid.best_params_)

best_acc = 0
model = None
for name, clf in candidates.items():
    clf.fit(X_train, y_train)
    acc = accuracy_score(y_test, clf.predict(X_test))
    print(name, acc)
    if acc > best_acc:
        best_acc, model = acc, clf

print("Final accuracy:", best_acc)

save_pickle(scaler, "models/scaler.pkl")
save_pickle(model, "models/churn_model.pkl")
