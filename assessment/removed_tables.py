"""What libraries for tables have removed: pandas, scikit-learn, boosters and their companions.

The same three lists as in `removed`: names, keywords of calls, and methods by their receiver.
"""

from __future__ import annotations

from ml_engineer.assessment.removal import Removed, names

_SKLEARN = "scikit-learn"
_FRAME = "pandas.*()"


def _keywords(library: str, version: str, call: str, listed: str, instead: str = "", family: str = "") -> list[Removed]:
    """Entries for `keyword` or `keyword>what_to_use`, separated by blanks."""
    pairs = (pair.partition(">") for pair in listed.split())
    return [Removed(call, ((library, version),), new or instead, old, family=family) for old, _, new in pairs]


NAMES: list[Removed] = [
    *names("pandas", "0.23", "rolling_mean rolling_std rolling_sum rolling_var ewma", ".rolling()", "pandas."),
    *names(
        _SKLEARN,
        "0.23",
        "metrics.jaccard_similarity_score>jaccard_score",
        prefix="sklearn.",
    ),
    *names(_SKLEARN, "0.24", "utils.safe_indexing>utils._safe_indexing metrics.scorer>metrics", prefix="sklearn."),
    *names(_SKLEARN, "1.2", "inspection.plot_partial_dependence>PartialDependenceDisplay", prefix="sklearn."),
    *names(_SKLEARN, "1.3", "metrics.SCORERS>get_scorer_names", prefix="sklearn."),
    *names("scikit-surprise", "1.1", "evaluate>cross_validate GridSearch>GridSearchCV", prefix="surprise."),
    *names("plotly", "4.0", "plotly>chart_studio.plotly", prefix="plotly."),
    *names(
        "evidently",
        "0.7",
        "report test_suite metric_preset test_preset pipeline.column_mapping ColumnMapping",
        "evidently.legacy, or the new Report",
        "evidently.",
        "the API of Evidently before 0.7",
    ),
    *names("python", "3.8", "clock>time.perf_counter", prefix="time."),
    *names("python", "3.8", "dist linux_distribution", "the package distro", "platform."),
    *names("python", "3.9", "encodestring>encodebytes decodestring>decodebytes", prefix="base64."),
    *names("python", "3.9", "gcd>math.gcd", prefix="fractions."),
    *names(
        "python",
        "3.10",
        "Callable Container Generator Hashable ItemsView Iterable Iterator KeysView Mapping MutableMapping "
        "MutableSequence MutableSet Sequence Set Sized ValuesView",
        "collections.abc",
        "collections.",
    ),
    *names("python", "3.11", "getargspec>inspect.getfullargspec", prefix="inspect."),
    *names("python", "3.12", "find_module load_module load_source reload", "importlib", "imp."),
]

KEYWORDS: list[Removed] = [
    *_keywords("lightgbm", "4.0", "lightgbm.*LGBM*().fit", "early_stopping_rounds>callbacks verbose>callbacks"),
    *_keywords("lightgbm", "4.0", "lightgbm.train", "evals_result>callbacks learning_rates>callbacks"),
    *_keywords("lightgbm", "4.0", "lightgbm.cv", "early_stopping_rounds>callbacks verbose_eval>callbacks"),
    *_keywords(
        "xgboost",
        "2.1",
        "xgboost.*XGB*().fit",
        "early_stopping_rounds eval_metric callbacks",
        "the argument of the constructor",
        "arguments of fit that the constructor takes (XGBoost)",
    ),
    *_keywords("pandas", "2.0", "pandas.read_csv", "squeeze>.squeeze() prefix>columns= mangle_dupe_cols"),
    *_keywords("pandas", "2.0", "*.to_csv", "line_terminator>lineterminator"),
    *_keywords(_SKLEARN, "1.0", "sklearn.ensemble.*", "min_impurity_split>min_impurity_decrease"),
    *_keywords(_SKLEARN, "1.0", "sklearn.tree.*", "min_impurity_split>min_impurity_decrease"),
    *_keywords(_SKLEARN, "0.24", "sklearn.ensemble.*", "presort behaviour"),
    *_keywords(_SKLEARN, "0.24", "sklearn.tree.*", "presort"),
    *_keywords(_SKLEARN, "0.24", "sklearn.model_selection.*SearchCV", "iid"),
    *_keywords(_SKLEARN, "0.21", "sklearn.linear_model.SGD*", "n_iter>max_iter"),
    *_keywords(_SKLEARN, "1.7", "sklearn.manifold.TSNE", "n_iter>max_iter"),
    *_keywords(_SKLEARN, "1.4", "sklearn.cluster.AgglomerativeClustering", "affinity>metric"),
    *_keywords(_SKLEARN, "1.3", "sklearn.impute.SimpleImputer", "verbose"),
    *_keywords(
        _SKLEARN,
        "0.22",
        "sklearn.preprocessing.OneHotEncoder",
        "categorical_features>ColumnTransformer n_values>categories",
    ),
    *_keywords(_SKLEARN, "1.6", "sklearn.metrics.mean_squared_log_error", "squared>root_mean_squared_log_error"),
    *_keywords("imbalanced-learn", "0.6", "imblearn.*_sampling.*", "ratio>sampling_strategy"),
    Removed("sklearn.ensemble.GradientBoosting*", ((_SKLEARN, "1.2"),), '"squared_error"', "loss", "ls"),
    Removed("sklearn.ensemble.GradientBoosting*", ((_SKLEARN, "1.3"),), '"log_loss"', "loss", "deviance"),
    Removed("sklearn.ensemble.*Regressor", ((_SKLEARN, "1.2"),), '"squared_error"', "criterion", "mse"),
    Removed("sklearn.tree.*Regressor", ((_SKLEARN, "1.2"),), '"squared_error"', "criterion", "mse"),
    Removed("sklearn.linear_model.SGDClassifier", ((_SKLEARN, "1.3"),), '"log_loss"', "loss", "log"),
]

METHODS: list[Removed] = [
    Removed(f"{_FRAME}.{name}", (("pandas", version),), instead)
    for name, version, instead in (
        ("reindex_axis", "1.0", "reindex"),
        ("get_dtype_counts", "1.0", "dtypes.value_counts()"),
        ("get_value", "1.0", "at"),
        ("set_value", "1.0", "at"),
        ("mad", "2.0", "(df - df.mean()).abs().mean()"),
    )
]
# Names that no other object has: their receiver need not be known.
ONLY_OF_FRAMES = frozenset({"reindex_axis", "get_dtype_counts"})
INDEXER = Removed("DataFrame.ix", (("pandas", "1.0"),), "loc or iloc", family="the indexer .ix")
DROP_AXIS = Removed("DataFrame.drop", (("pandas", "2.0"),), "columns= or axis=1", family="the axis of drop by position")
