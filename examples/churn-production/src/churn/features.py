"""From a customer to numbers, in one pipeline that training fits and the service loads."""

from __future__ import annotations

import numpy as np
import pandas as pd
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from churn.config import ModelParams
from churn.data import CATEGORIES, NUMBERS


def add_derived(table: pd.DataFrame) -> pd.DataFrame:
    """Add spend per month and the new-customer flag; total charges are long-tailed, so take their logarithm."""
    months = table["tenure_months"].clip(lower=1)
    return table.assign(
        spend_per_month=table["total_charges"] / months,
        is_new=(table["tenure_months"] < 6).astype(float),
        total_charges=np.log1p(table["total_charges"]),
    )


def build_pipeline(params: ModelParams, seed: int) -> Pipeline:
    """The whole model: derived columns, imputing, scaling, encoding and the classifier."""
    numbers = [*NUMBERS, "spend_per_month", "is_new"]
    columns = ColumnTransformer(
        [
            ("numbers", make_pipeline(SimpleImputer(strategy="median"), StandardScaler()), numbers),
            ("categories", OneHotEncoder(categories=list(CATEGORIES.values()), drop="if_binary"), list(CATEGORIES)),
        ]
    )
    return Pipeline(
        [
            ("derived", FunctionTransformer(add_derived)),
            ("columns", columns),
            ("classifier", LogisticRegression(C=params.C, max_iter=params.max_iter, random_state=seed)),
        ]
    )
