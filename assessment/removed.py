"""APIs that libraries have removed, with the first version that lacks them: a dated table for looking names up.

Three states: `removed` (the call fails), `changed` (it works and means something else) and `deprecated` (it still
works). An entry may be about a name, about a keyword of a call, or about a method of a known kind of object.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

AS_OF = "2026-06"
State = Literal["removed", "changed", "deprecated"]


@dataclass(frozen=True, slots=True)
class Removed:
    """`since` holds (distribution, first version without it) pairs; all that are declared must allow that version."""

    name: str  # dotted name; everything below it is gone too
    since: tuple[tuple[str, str], ...]
    instead: str
    keyword: str = ""
    value: object = None  # only for this value of the keyword
    state: State = "removed"
    family: str = ""  # entries of one family in one file are one finding
    unless: str = ""  # not where this keyword is given, too


def _names(
    library: str, version: str, names: str, instead: str = "", prefix: str = "", family: str = ""
) -> list[Removed]:
    """Entries for `name` or `name>replacement`, separated by blanks."""
    found = []
    for item in names.split():
        name, _, new = item.partition(">")
        found.append(Removed(f"{prefix}{name}", ((library, version),), new or instead, family=family))
    return found


_SKLEARN = "scikit-learn"
_BENTOML = "pytorch sklearn xgboost lightgbm keras tensorflow transformers onnx catboost picklable_model".split()
_KERAS3 = (("keras", "3"), ("tensorflow", "2.16"))

NAMES: list[Removed] = [
    *_names(_SKLEARN, "0.23", "externals.joblib>joblib externals.six>six", prefix="sklearn."),
    *_names(_SKLEARN, "1.2", "datasets.load_boston>fetch_california_housing", prefix="sklearn."),
    *_names(_SKLEARN, "0.20", "cross_validation grid_search learning_curve", "sklearn.model_selection", "sklearn."),
    *_names(_SKLEARN, "0.20", "mixture.GMM>GaussianMixture datasets.load_mlcomp", prefix="sklearn."),
    *_names(
        _SKLEARN, "0.22", "preprocessing.Imputer>SimpleImputer datasets.fetch_mldata>fetch_openml", prefix="sklearn."
    ),
    *_names(
        _SKLEARN,
        "0.24",
        "utils.testing utils.linear_assignment_>scipy.optimize.linear_sum_assignment",
        prefix="sklearn.",
    ),
    *_names(
        _SKLEARN,
        "1.2",
        "plot_confusion_matrix>ConfusionMatrixDisplay plot_roc_curve>RocCurveDisplay "
        "plot_precision_recall_curve>PrecisionRecallDisplay plot_det_curve>DetCurveDisplay",
        prefix="sklearn.metrics.",
    ),
    *_names("numpy", "1.24", "float>float int>int bool>bool object>object str>str complex>complex", prefix="numpy."),
    *_names("numpy", "1.23", "asscalar>.item()", prefix="numpy."),
    *_names(
        "numpy",
        "2.0",
        "float_>float64 complex_>complex128 unicode_>str_ string_>bytes_ Inf>inf Infinity>inf NaN>nan NAN>nan PINF>inf "
        "product>prod cumproduct>cumprod sometrue>any alltrue>all cast>asarray find_common_type>result_type "
        "obj2sctype>dtype issubsctype>issubdtype compare_chararrays>char.compare_chararrays",
        prefix="numpy.",
    ),
    *_names(
        "bentoml",
        "1.0",
        " ".join(f"{name}.save>save_model" for name in _BENTOML),
        prefix="bentoml.",
        family="the preview API of BentoML 1",
    ),
    *_names(
        "bentoml",
        "1.4",
        " ".join(f"{name}.load_runner>get().to_runner()" for name in _BENTOML),
        prefix="bentoml.",
        family="the preview API of BentoML 1",
    ),
    *_names("pandas", "1.0", "Panel>DataFrame", prefix="pandas."),
    *_names(
        "pandas",
        "2.0",
        "np>numpy datetime>datetime Int64Index>Index Float64Index>Index UInt64Index>Index util.testing>testing",
        prefix="pandas.",
    ),
    *_names(
        "tensorflow",
        "2.0",
        "contrib Session>tf.compat.v1 placeholder>tf.compat.v1 ConfigProto>tf.compat.v1 "
        "get_variable>tf.Variable app flags "
        "gfile>tf.io.gfile logging layers>tf.keras.layers variable_scope>tf.compat.v1 reset_default_graph>tf.compat.v1 "
        "global_variables_initializer>tf.compat.v1 log>tf.math.log random_normal>tf.random.normal "
        "truncated_normal>tf.random.truncated_normal set_random_seed>tf.random.set_seed to_float>tf.cast "
        "to_int32>tf.cast "
        "train.AdamOptimizer>tf.keras.optimizers train.GradientDescentOptimizer>tf.keras.optimizers "
        "train.Saver>tf.train.Checkpoint nn.rnn_cell>tf.keras.layers examples.tutorials>tf.keras.datasets "
        "InteractiveSession>tf.compat.v1 get_default_graph>tf.compat.v1 nn.dynamic_rnn>tf.keras.layers.RNN "
        "placeholder_with_default>tf.compat.v1 initialize_all_variables>tf.compat.v1 GPUOptions>tf.config "
        "random_uniform>tf.random.uniform summary.FileWriter>tf.summary summary.merge_all>tf.summary",
        "its successor in TensorFlow 2",
        "tensorflow.",
        "TensorFlow 1",
    ),
    *_names("torchvision", "0.13", "Scale>Resize RandomSizedCrop>RandomResizedCrop", prefix="torchvision.transforms."),
    *_names("torch", "2.0", "symeig>linalg.eigh eig>linalg.eig lstsq>linalg.lstsq", prefix="torch."),
    *_names("torch", "1.8", "rfft>fft.rfft irfft>fft.irfft", prefix="torch."),
    *_names(
        "torchtext",
        "0.9",
        "Field TabularDataset BucketIterator Iterator LabelField Example Dataset.splits",
        "torch.utils.data",
        "torchtext.data.",
        "torchtext.data",
    ),
    *_names("torchtext", "0.12", "legacy", "torch.utils.data", "torchtext."),
    *_names("pytorch-lightning", "1.5", "metrics>torchmetrics", prefix="pytorch_lightning."),
    *_names("datasets", "3.0", "load_metric>evaluate.load", prefix="datasets."),
    *_names(
        "scipy", "1.3", "imread>imageio imresize>PIL imsave>imageio imrotate>PIL toimage>PIL", prefix="scipy.misc."
    ),
    *_names("scipy", "1.14", "trapz>trapezoid simps>simpson cumtrapz>cumulative_trapezoid", prefix="scipy.integrate."),
    *_names(
        "scipy", "1.12", "binom_test>binomtest median_absolute_deviation>median_abs_deviation", prefix="scipy.stats."
    ),
    *_names(
        "scipy", "1.13", "hann>windows.hann hamming>windows.hamming gaussian>windows.gaussian", prefix="scipy.signal."
    ),
    *_names("flask", "1.0", "ext", "the extension's own package", "flask."),
    *_names("flask", "2.3", "json.JSONEncoder>json.provider _request_ctx_stack>g _app_ctx_stack>g", prefix="flask."),
    *_names("flask", "3.0", "escape>markupsafe.escape Markup>markupsafe.Markup", prefix="flask."),
    *_names(
        "werkzeug",
        "1.0",
        "secure_filename>werkzeug.utils contrib FileStorage>werkzeug.datastructures",
        prefix="werkzeug.",
    ),
    *_names("gensim", "4.0", "summarization", "another summariser", "gensim."),
    *_names("pillow", "10", "ANTIALIAS>LANCZOS", prefix="PIL.Image."),
    *_names("pydantic", "2.0", "BaseSettings>pydantic_settings.BaseSettings", prefix="pydantic."),
    *_names("openai", "1.0", "ChatCompletion>OpenAI() Completion>OpenAI() Embedding>OpenAI()", prefix="openai."),
    *_names("statsmodels", "0.13", "tsa.arima_model>tsa.arima.model", prefix="statsmodels."),
    *_names("networkx", "2.0", "from_pandas_dataframe>from_pandas_edgelist", prefix="networkx."),
    *_names("peft", "0.10", "prepare_model_for_int8_training>prepare_model_for_kbit_training", prefix="peft."),
    *_names("transformers", "5.0", "AdamW>torch.optim.AdamW", prefix="transformers."),
    *_names("matplotlib", "3.9", "get_cmap>matplotlib.colormaps", prefix="matplotlib.cm."),
    Removed("keras.utils.np_utils", _KERAS3, "keras.utils.to_categorical"),
    Removed("keras.wrappers.scikit_learn", (("keras", "2.12"), ("tensorflow", "2.12")), "scikeras"),
    Removed("tensorflow.keras.wrappers.scikit_learn", (("tensorflow", "2.12"),), "scikeras"),
    Removed("keras.backend.tensorflow_backend", (("keras", "2.4"),), "keras.backend"),
    Removed("keras.layers.merge", (("keras", "3"),), "keras.layers.concatenate"),
    Removed("keras.layers.normalization.BatchNormalization", (("keras", "2.6"),), "keras.layers.BatchNormalization"),
    Removed("keras.layers.convolutional", (("keras", "3"),), "keras.layers"),
    Removed("keras.layers.core", (("keras", "3"),), "keras.layers"),
    Removed("keras.engine", (("keras", "3"),), "keras"),
    Removed("keras.optimizers.adam", (("keras", "2.6"),), "keras.optimizers.Adam"),
    Removed("torch.autograd.Variable", (("torch", "0.4"),), "the tensor itself", state="deprecated"),
    Removed("torch.cuda.amp.autocast", (("torch", "2.4"),), "torch.amp.autocast", state="deprecated"),
    Removed("torch.cuda.amp.GradScaler", (("torch", "2.4"),), "torch.amp.GradScaler", state="deprecated"),
    Removed("seaborn.distplot", (("seaborn", "0.11"),), "histplot or displot", state="deprecated"),
]

# Calls whose keyword is gone. `*` in a name matches anything.
KEYWORDS: list[Removed] = [
    Removed("sklearn.preprocessing.OneHotEncoder", ((_SKLEARN, "1.4"),), "sparse_output", "sparse"),
    Removed("sklearn.linear_model.*", ((_SKLEARN, "1.2"),), "a StandardScaler", "normalize"),
    Removed("sklearn.metrics.mean_squared_error", ((_SKLEARN, "1.6"),), "root_mean_squared_error", "squared"),
    Removed("sklearn.ensemble.AdaBoost*", ((_SKLEARN, "1.4"),), "estimator", "base_estimator"),
    Removed("sklearn.ensemble.Bagging*", ((_SKLEARN, "1.4"),), "estimator", "base_estimator"),
    Removed("sklearn.ensemble.*", ((_SKLEARN, "1.3"),), '"sqrt"', "max_features", "auto"),
    Removed("sklearn.cluster.KMeans", ((_SKLEARN, "1.0"),), "threadpoolctl", "n_jobs"),
    Removed(
        "sklearn.model_selection.*KFold",
        ((_SKLEARN, "0.24"),),
        "shuffle=True, or leave random_state out",
        "random_state",
        unless="shuffle",
        family="random_state without shuffle",
    ),
    Removed("pandas.read_csv", (("pandas", "2.0"),), "on_bad_lines", "error_bad_lines"),
    Removed("pandas.read_csv", (("pandas", "2.0"),), "on_bad_lines", "warn_bad_lines"),
    Removed("pytorch_lightning.Trainer", (("pytorch-lightning", "2.0"),), "accelerator and devices", "gpus"),
    Removed("pytorch_lightning.Trainer", (("pytorch-lightning", "2.0"),), "ckpt_path", "resume_from_checkpoint"),
    Removed("pytorch_lightning.Trainer", (("pytorch-lightning", "2.0"),), "callbacks", "progress_bar_refresh_rate"),
    Removed("gensim.models.*Word2Vec", (("gensim", "4.0"),), "vector_size", "size"),
    Removed("gensim.models.*Word2Vec", (("gensim", "4.0"),), "epochs", "iter"),
    Removed("?*", (("transformers", "4.0"),), "labels", "lm_labels"),
    Removed("?*", (("transformers", "4.0"),), "labels", "masked_lm_labels"),
    Removed("transformers.TrainingArguments", (("transformers", "4.46"),), "eval_strategy", "evaluation_strategy"),
    Removed("lightgbm.train", (("lightgbm", "4.0"),), "a callback", "early_stopping_rounds"),
    Removed("lightgbm.train", (("lightgbm", "4.0"),), "a callback", "verbose_eval"),
    Removed("*keras.optimizers.*", _KERAS3, "learning_rate", "lr"),
    Removed("*keras.models.Model", (("keras", "2.3"), ("tensorflow", "2.0")), "inputs and outputs", "input"),
    Removed("torchvision.models.*", (("torchvision", "0.13"),), "weights", "pretrained", True, "deprecated"),
]

# Methods, by the resolved name of their receiver and themselves.
METHODS: list[Removed] = [
    Removed("pandas.*().append", (("pandas", "2.0"),), "pandas.concat"),
    Removed("pandas.*().iteritems", (("pandas", "2.0"),), "items"),
    Removed("pandas.*().as_matrix", (("pandas", "1.0"),), "to_numpy"),
    Removed("pandas.*().lookup", (("pandas", "2.0"),), "loc"),
    Removed("sklearn.*().get_feature_names", ((_SKLEARN, "1.2"),), "get_feature_names_out"),
    Removed("imblearn.*().fit_sample", (("imbalanced-learn", "0.8"),), "fit_resample"),
    Removed("PIL.ImageDraw.Draw().textsize", (("pillow", "10"),), "textbbox"),
    Removed("PIL.ImageFont.*().getsize", (("pillow", "10"),), "getbbox"),
    Removed("flask.Flask().before_first_request", (("flask", "2.3"),), "code before the app starts"),
]
# What the `dt` of a column no longer has.
OF_DATES = {
    name: Removed(f"Series.dt.{name}", (("pandas", "2.0"),), "dt.isocalendar().week") for name in ("week", "weekofyear")
}
# Methods whose name alone says whose they are, in a module that imports Keras.
KERAS_METHODS: list[Removed] = [
    Removed("fit_generator", _KERAS3, "fit"),
    Removed("predict_generator", _KERAS3, "predict"),
    Removed("evaluate_generator", _KERAS3, "evaluate"),
    Removed("predict_classes", (("keras", "2.6"), ("tensorflow", "2.6")), "argmax of predict"),
]

# `state, reward, done, info = env.step(action)`: since this version there are five values, so that unpacking fails.
UNPACKED_OUTPUTS = Removed(
    "unpacking a model's outputs", (("transformers", "4.0"),), "the fields of the output, or pass return_dict=False"
)
FOUR_VALUES = Removed(
    "gym.make().step",
    (("gym", "0.26"),),
    "terminated and truncated instead of done",
    family="env.step() with four values",
)

# The tables by what a call is looked up with.
BY_NAME = {entry.name: entry for entry in NAMES}
LAST_PARTS = frozenset(name.rpartition(".")[2] for name in BY_NAME)
BY_KEYWORD: dict[str, list[Removed]] = {}
for _entry in KEYWORDS:
    BY_KEYWORD.setdefault(_entry.keyword, []).append(_entry)
BY_METHOD = {entry.name.rpartition(".")[2]: entry for entry in METHODS}
BY_KERAS_METHOD = {entry.name: entry for entry in KERAS_METHODS}


@lru_cache(maxsize=4096)
def words(tops: frozenset[str], keras: bool) -> frozenset[bytes]:
    """Words of which a file that imports these packages has to hold one somewhere to use an entry."""
    parts: set[str] = set()
    for entry in (*NAMES, *KEYWORDS, *METHODS):
        first = entry.name.partition(".")[0]
        if first in tops or (first.startswith("*") and keras):
            parts.add(entry.keyword or entry.name.rpartition(".")[2])
    if keras:
        parts.update(BY_KERAS_METHOD)
    if "pandas" in tops:
        parts.update(OF_DATES)
    else:
        parts.add("ignore_index")
    if "gym" in tops:
        parts.add("step")
    if "transformers" in tops:
        parts.update(("from_pretrained", "lm_labels", "masked_lm_labels"))
    return frozenset(part.encode() for part in parts)
