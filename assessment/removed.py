"""APIs that libraries have removed, with the first version that lacks them: a dated table for looking names up.

Three states: `removed` (the call fails), `changed` (it works and means something else) and `deprecated` (it still
works). An entry may be about a name, about a keyword of a call, or about a method of a known kind of object.
"""

from __future__ import annotations

from functools import lru_cache

from ml_engineer.assessment import removed_models, removed_tables
from ml_engineer.assessment.removal import Removed, names

AS_OF = "2026-06"

_SKLEARN = "scikit-learn"
_BENTOML = "pytorch sklearn xgboost lightgbm keras tensorflow transformers onnx catboost picklable_model".split()


NAMES: list[Removed] = [
    *removed_models.NAMES,
    *removed_tables.NAMES,
    *names(_SKLEARN, "0.23", "externals.joblib>joblib externals.six>six", prefix="sklearn."),
    *names(_SKLEARN, "1.2", "datasets.load_boston>fetch_california_housing", prefix="sklearn."),
    *names(_SKLEARN, "0.20", "cross_validation grid_search learning_curve", "sklearn.model_selection", "sklearn."),
    *names(_SKLEARN, "0.20", "mixture.GMM>GaussianMixture datasets.load_mlcomp", prefix="sklearn."),
    *names(
        _SKLEARN, "0.22", "preprocessing.Imputer>SimpleImputer datasets.fetch_mldata>fetch_openml", prefix="sklearn."
    ),
    *names(
        _SKLEARN,
        "0.24",
        "utils.testing utils.linear_assignment_>scipy.optimize.linear_sum_assignment",
        prefix="sklearn.",
    ),
    *names(
        _SKLEARN,
        "1.2",
        "plot_confusion_matrix>ConfusionMatrixDisplay plot_roc_curve>RocCurveDisplay "
        "plot_precision_recall_curve>PrecisionRecallDisplay plot_det_curve>DetCurveDisplay",
        prefix="sklearn.metrics.",
    ),
    *names("numpy", "1.24", "float>float int>int bool>bool object>object str>str complex>complex", prefix="numpy."),
    *names("numpy", "1.23", "asscalar>.item()", prefix="numpy."),
    *names(
        "numpy",
        "2.0",
        "float_>float64 complex_>complex128 unicode_>str_ string_>bytes_ Inf>inf Infinity>inf NaN>nan NAN>nan PINF>inf "
        "product>prod cumproduct>cumprod sometrue>any alltrue>all cast>asarray find_common_type>result_type "
        "obj2sctype>dtype issubsctype>issubdtype compare_chararrays>char.compare_chararrays",
        prefix="numpy.",
    ),
    *names(
        "bentoml",
        "1.0",
        " ".join(f"{name}.save>save_model" for name in _BENTOML),
        prefix="bentoml.",
        family="the preview API of BentoML 1",
    ),
    *names(
        "bentoml",
        "1.4",
        " ".join(f"{name}.load_runner>get().to_runner()" for name in _BENTOML),
        prefix="bentoml.",
        family="the preview API of BentoML 1",
    ),
    *names("pandas", "1.0", "Panel>DataFrame", prefix="pandas."),
    *names(
        "pandas",
        "2.0",
        "np>numpy datetime>datetime Int64Index>Index Float64Index>Index UInt64Index>Index util.testing>testing",
        prefix="pandas.",
    ),
    *names("torchvision", "0.13", "Scale>Resize RandomSizedCrop>RandomResizedCrop", prefix="torchvision.transforms."),
    *names("torchvision", "0.17", "functional_tensor>functional", prefix="torchvision.transforms."),
    *names("torchvision", "0.11.3", "utils>torch.hub", prefix="torchvision.models."),
    *names("torch", "2.0", "_six", "the standard library", "torch."),
    *names("torch", "1.13", "solve>linalg.solve matrix_rank>linalg.matrix_rank", prefix="torch."),
    *names("torch", "1.0", "ffi>cpp_extension serialization.load_lua>torchfile", prefix="torch.utils."),
    *names("torch", "2.0", "symeig>linalg.eigh eig>linalg.eig lstsq>linalg.lstsq", prefix="torch."),
    *names("torch", "1.8", "rfft>fft.rfft irfft>fft.irfft", prefix="torch."),
    *names(
        "torchtext",
        "0.9",
        "Field TabularDataset BucketIterator Iterator LabelField Example Dataset.splits",
        "torch.utils.data",
        "torchtext.data.",
        "torchtext.data",
    ),
    *names("torchtext", "0.12", "legacy", "torch.utils.data", "torchtext."),
    *names("pytorch-lightning", "1.5", "metrics>torchmetrics", prefix="pytorch_lightning."),
    *names("pytorch-lightning", "1.7", "loggers.TestTubeLogger>TensorBoardLogger", prefix="pytorch_lightning."),
    *names(
        "pytorch-lightning",
        "2.0",
        "utilities.cli>pytorch_lightning.cli utilities.distributed>utilities.rank_zero "
        "core.lightning>pytorch_lightning profiler>profilers "
        "plugins.DDPPlugin>strategies.DDPStrategy plugins.DDPSpawnPlugin>strategies.DDPStrategy "
        "Trainer.add_argparse_args>LightningCLI Trainer.from_argparse_args>LightningCLI",
        prefix="pytorch_lightning.",
        family="what Lightning 1 had",
    ),
    *names("torchmetrics", "0.8", "F1>F1Score IoU>JaccardIndex", prefix="torchmetrics."),
    *names(
        "albumentations",
        "1.4",
        " ".join(
            f"{path}{name}"
            for path in ("", "augmentations.transforms.", "imgaug.transforms.")
            for name in (
                "RandomBrightness>RandomBrightnessContrast RandomContrast>RandomBrightnessContrast "
                "JpegCompression>ImageCompression Cutout>CoarseDropout IAAAdditiveGaussianNoise>GaussNoise "
                "IAAPerspective>Perspective IAAEmboss>Emboss IAASharpen>Sharpen IAASuperpixels>Superpixels "
                "IAAAffine>Affine IAAPiecewiseAffine>PiecewiseAffine IAAFliplr>HorizontalFlip IAAFlipud>VerticalFlip"
            ).split()
        ),
        prefix="albumentations.",
        family="transforms that albumentations has removed",
    ),
    *names(
        "albumentations",
        "1.3.1",
        "Resize RandomRotate90 ShiftScaleRotate ElasticTransform RandomCrop CenterCrop RandomSizedCrop Rotate Flip "
        "HorizontalFlip VerticalFlip Transpose PadIfNeeded GridDistortion OpticalDistortion CoarseDropout Blur",
        "the name in albumentations itself",
        "albumentations.augmentations.transforms.",
        "transforms that albumentations has removed",
    ),
    *names("albumentations", "1.4", "ToTensor>ToTensorV2", prefix="albumentations.pytorch."),
    *names("albumentations", "1.4.24", "Flip>HorizontalFlip", prefix="albumentations."),
    *names("torchaudio", "0.9", "load_wav>load", prefix="torchaudio."),
    *names(
        "torchaudio",
        "2.9",
        "set_audio_backend get_audio_backend list_audio_backends info",
        "torchcodec or soundfile",
        "torchaudio.",
    ),
    *names("librosa", "0.8", "output>soundfile.write", prefix="librosa."),
    *names("librosa", "0.7", "rmse>rms", prefix="librosa.feature."),
    *names("librosa", "0.10", "waveplot>waveshow", prefix="librosa.display."),
    *names(
        "scikit-image",
        "0.18",
        "compare_ssim>metrics.structural_similarity compare_psnr>metrics.peak_signal_noise_ratio "
        "compare_mse>metrics.mean_squared_error compare_nrmse>metrics.normalized_root_mse",
        prefix="skimage.measure.",
    ),
    *names("datasets", "3.0", "load_metric>evaluate.load", prefix="datasets."),
    *names("scipy", "1.3", "imread>imageio imresize>PIL imsave>imageio imrotate>PIL toimage>PIL", prefix="scipy.misc."),
    *names("scipy", "1.14", "trapz>trapezoid simps>simpson cumtrapz>cumulative_trapezoid", prefix="scipy.integrate."),
    *names(
        "scipy", "1.12", "binom_test>binomtest median_absolute_deviation>median_abs_deviation", prefix="scipy.stats."
    ),
    *names(
        "scipy", "1.13", "hann>windows.hann hamming>windows.hamming gaussian>windows.gaussian", prefix="scipy.signal."
    ),
    *names("flask", "1.0", "ext", "the extension's own package", "flask."),
    *names("flask", "2.3", "json.JSONEncoder>json.provider _request_ctx_stack>g _app_ctx_stack>g", prefix="flask."),
    *names("flask", "3.0", "escape>markupsafe.escape Markup>markupsafe.Markup", prefix="flask."),
    *names(
        "werkzeug",
        "1.0",
        "secure_filename>werkzeug.utils contrib FileStorage>werkzeug.datastructures",
        prefix="werkzeug.",
    ),
    *names("gensim", "4.0", "summarization", "another summariser", "gensim."),
    *names("pillow", "10", "ANTIALIAS>LANCZOS", prefix="PIL.Image."),
    *names("pydantic", "2.0", "BaseSettings>pydantic_settings.BaseSettings", prefix="pydantic."),
    Removed("pinecone.init", (("pinecone-client", "3.0"), ("pinecone", "3.0")), "pinecone.Pinecone()"),
    *names("openai", "1.0", "ChatCompletion>OpenAI() Completion>OpenAI() Embedding>OpenAI()", prefix="openai."),
    *names("statsmodels", "0.13", "tsa.arima_model>tsa.arima.model", prefix="statsmodels."),
    *names("networkx", "2.0", "from_pandas_dataframe>from_pandas_edgelist", prefix="networkx."),
    *names("peft", "0.10", "prepare_model_for_int8_training>prepare_model_for_kbit_training", prefix="peft."),
    *names("matplotlib", "3.9", "get_cmap>matplotlib.colormaps", prefix="matplotlib.cm."),
    Removed("torch.autograd.Variable", (("torch", "0.4"),), "the tensor itself", state="deprecated"),
    Removed("torch.cuda.amp.autocast", (("torch", "2.4"),), "torch.amp.autocast", state="deprecated"),
    Removed("torch.cuda.amp.GradScaler", (("torch", "2.4"),), "torch.amp.GradScaler", state="deprecated"),
    Removed("seaborn.distplot", (("seaborn", "0.11"),), "histplot or displot", state="deprecated"),
]

_OLDEST_TRAINER = (
    "max_nb_epochs>max_epochs min_nb_epochs>min_epochs nb_gpu_nodes>num_nodes show_progress_bar>enable_progress_bar "
    "val_percent_check>limit_val_batches train_percent_check>limit_train_batches "
    "nb_sanity_val_steps>num_sanity_val_steps use_amp>precision early_stop_callback>callbacks "
    "checkpoint_callback>enable_checkpointing "
    "weights_summary>enable_model_summary distributed_backend>strategy row_log_interval>log_every_n_steps "
    "log_gpu_memory>DeviceStatsMonitor terminate_on_nan>detect_anomaly stochastic_weight_avg>callbacks "
    "flush_logs_every_n_steps>logger process_position>callbacks default_save_path>default_root_dir "
    "reload_dataloaders_every_epoch>reload_dataloaders_every_n_epochs"
)


def _trainers(version: str, keywords: str) -> list[Removed]:
    """Arguments of Lightning's trainer, as `keyword>what_to_use`."""
    pairs = (pair.partition(">") for pair in keywords.split())
    since = (("pytorch-lightning", version),)
    return [
        Removed("pytorch_lightning.*Trainer", since, new, old, family=f"an argument of Trainer ({old})")
        for old, _, new in pairs
    ]


# Calls whose keyword is gone. `*` in a name matches anything.
KEYWORDS: list[Removed] = [
    *removed_models.KEYWORDS,
    *removed_tables.KEYWORDS,
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
    *_trainers("1.7", _OLDEST_TRAINER),
    *_trainers(
        "2.0",
        "gpus>devices tpu_cores>devices num_processes>devices resume_from_checkpoint>ckpt_path "
        "progress_bar_refresh_rate>callbacks replace_sampler_ddp>use_distributed_sampler auto_lr_find>Tuner "
        "auto_scale_batch_size>Tuner auto_select_gpus>devices amp_backend>precision amp_level>precision "
        "track_grad_norm>on_before_optimizer_step multiple_trainloader_mode>CombinedLoader",
    ),
    Removed("pytorch_lightning.*ModelCheckpoint", (("pytorch-lightning", "1.5"),), "dirpath and filename", "filepath"),
    Removed("pytorch_lightning.*ModelCheckpoint", (("pytorch-lightning", "1.7"),), "every_n_epochs", "period"),
    Removed("torch.optim.lr_scheduler.*", (("torch", "2.7"),), "get_last_lr()", "verbose"),
    Removed("torch.autograd.Variable", (("torch", "0.4"),), "torch.no_grad()", "volatile", True, "changed"),
    Removed("torchvision.utils.make_grid", (("torchvision", "0.15"),), "value_range", "range"),
    Removed("torchvision.utils.save_image", (("torchvision", "0.15"),), "value_range", "range"),
    Removed("torchvision.transforms.Random*", (("torchvision", "0.15"),), "interpolation", "resample"),
    Removed("torchvision.transforms.Random*", (("torchvision", "0.15"),), "fill", "fillcolor"),
    Removed("matplotlib.*gca", (("matplotlib", "3.6"),), 'add_subplot(projection="3d")', "projection"),
    Removed("skimage.io.imread", (("scikit-image", "0.16"),), "as_gray", "as_grey"),
    Removed("ignite.handlers.*ModelCheckpoint", (("pytorch-ignite", "0.4"),), "Events.X(every=)", "save_interval"),
    Removed("gensim.models.*Word2Vec", (("gensim", "4.0"),), "vector_size", "size"),
    Removed("gensim.models.*Word2Vec", (("gensim", "4.0"),), "epochs", "iter"),
    Removed("lightgbm.train", (("lightgbm", "4.0"),), "a callback", "early_stopping_rounds"),
    Removed("lightgbm.train", (("lightgbm", "4.0"),), "a callback", "verbose_eval"),
    Removed("torchvision.models.*", (("torchvision", "0.13"),), "weights", "pretrained", True, "deprecated"),
]

# Methods, by the resolved name of their receiver and themselves.
METHODS: list[Removed] = [
    *removed_tables.METHODS,
    Removed("pandas.*().append", (("pandas", "2.0"),), "pandas.concat"),
    Removed("pandas.*()*.iteritems", (("pandas", "2.0"),), "items"),
    Removed("pandas.*().as_matrix", (("pandas", "1.0"),), "to_numpy"),
    Removed("pandas.*().lookup", (("pandas", "2.0"),), "loc"),
    Removed("sklearn.*().get_feature_names", ((_SKLEARN, "1.2"),), "get_feature_names_out"),
    Removed("imblearn.*().fit_sample", (("imbalanced-learn", "0.8"),), "fit_resample"),
    Removed("PIL.ImageDraw.Draw().textsize", (("pillow", "10"),), "textbbox"),
    Removed("PIL.ImageFont.*().getsize", (("pillow", "10"),), "getbbox"),
    Removed("dash.Dash().run_server", (("dash", "3.0"),), "run"),
    Removed("flask.Flask().before_first_request", (("flask", "2.3"),), "code before the app starts"),
]
# What the `dt` of a column no longer has.
OF_DATES = {
    name: Removed(f"Series.dt.{name}", (("pandas", "2.0"),), "dt.isocalendar().week") for name in ("week", "weekofyear")
}

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

# Names of what `iter()` gave: nothing in Python 3 has it, and torch's loaders kept it until this version.
NEXT_METHOD = Removed("iter().next", (("torch", "1.13"),), "next(iterator)", family=".next() of a loader's iterator")
LOSS_DATA = Removed("loss.data[0]", (("torch", "1.0"),), "loss.item()", family="an index into a loss (loss.data[0])")
LEGACY_FUNCTION = Removed(
    "torch.autograd.Function",
    (("torch", "1.5"),),
    "static methods and apply()",
    family="a Function without static methods",
)
EPOCH_ENDS = {
    hook: Removed(
        hook, (("pytorch-lightning", "2.0"),), f"on_{new}_epoch_end", family="the *_epoch_end hooks of Lightning 1"
    )
    for hook, new in (
        ("training_epoch_end", "train"),
        ("validation_epoch_end", "validation"),
        ("test_epoch_end", "test"),
    )
}
SEABORN_STYLES = Removed(
    "matplotlib.*style.use", (("matplotlib", "3.8"),), "seaborn-v0_8 or seaborn itself", family="the seaborn styles"
)
# In a file that imports torch, what one of the three above is written with.
TORCH_MARKS = (b".next()", b".data[0]", b"Function)")
# Functions of librosa that take so many arguments by position, and all others by name.
BY_NAME_ONLY = Removed(
    "librosa", (("librosa", "0.10"),), "the names of the arguments", family="positional arguments of librosa"
)
POSITIONAL = dict.fromkeys(
    "load stft istft resample power_to_db amplitude_to_db db_to_power db_to_amplitude griffinlim cqt pyin hz_to_mel "
    "mel_to_hz mel_frequencies frames_to_time time_to_frames effects.trim effects.split effects.time_stretch "
    "effects.pitch_shift display.specshow display.waveshow feature.zero_crossing_rate feature.delta util.fix_length "
    "util.pad_center util.normalize".split(),
    1,
) | dict.fromkeys(
    "get_duration fft_frequencies filters.mel filters.window_sumsquare beat.beat_track onset.onset_detect "
    "onset.onset_strength feature.mfcc feature.melspectrogram feature.chroma_stft feature.chroma_cqt "
    "feature.chroma_cens feature.spectral_centroid feature.spectral_bandwidth feature.spectral_rolloff "
    "feature.spectral_contrast feature.spectral_flatness feature.rms feature.tonnetz feature.tempogram "
    "feature.poly_features".split(),
    0,
)  # fmt: skip
# The same for plots: all but the table by name.
PLOTS_BY_NAME = Removed(
    "seaborn", (("seaborn", "0.12"),), "the names of the arguments", family="positional arguments of seaborn's plots"
)
PLOTS = frozenset(
    "barplot boxenplot boxplot countplot jointplot lineplot lmplot pointplot regplot relplot residplot "
    "scatterplot stripplot swarmplot violinplot".split()
)
_TASKS = (("torchmetrics", "0.11"),)
_NEEDS_TASK = (
    "Accuracy AUROC AveragePrecision CohenKappa ConfusionMatrix FBetaScore F1Score JaccardIndex Precision Recall "
    "PrecisionRecallCurve ROC Specificity StatScores"
).split()
_NEEDS_TASK_TOO = (
    "accuracy auroc average_precision cohen_kappa confusion_matrix fbeta_score f1_score jaccard_index precision recall"
).split()
# Calls that fail without an argument: its name, and where it stands without one.
NEEDED: dict[str, tuple[str, int, Removed]] = {
    "yaml.load": (
        "Loader",
        1,
        Removed("yaml.load", (("pyyaml", "6.0"),), "yaml.safe_load", family="yaml.load without a Loader"),
    ),
    "torch.stft": (
        "return_complex",
        9,
        Removed("torch.stft", (("torch", "2.0"),), "return_complex=True", family="torch.stft without return_complex"),
    ),
    **{
        f"torchmetrics.{path}{name}": (
            "task",
            place,
            Removed(name, _TASKS, 'task="multiclass" and num_classes', family="metrics of torchmetrics without a task"),
        )
        for paths, names, place in (
            (("", "classification."), _NEEDS_TASK, 0),
            (("functional.", "functional.classification."), _NEEDS_TASK_TOO, 2),
        )
        for path in paths
        for name in names
    },
}

# The tables by what a call is looked up with.
BY_NAME = {entry.name: entry for entry in NAMES}
LAST_PARTS = frozenset(name.rpartition(".")[2] for name in BY_NAME)
BY_KEYWORD: dict[str, list[Removed]] = {}
for _entry in KEYWORDS:
    BY_KEYWORD.setdefault(_entry.keyword, []).append(_entry)
BY_METHOD = {entry.name.rpartition(".")[2]: entry for entry in METHODS}
BY_KERAS_METHOD = {entry.name: entry for entry in removed_models.KERAS_METHODS}


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
    if not tops.isdisjoint(("keras", "tensorflow")):
        parts.update(("ModelCheckpoint", "save_weights", "acc", "val_acc"))
    if "pandas" in tops:
        parts.update((*OF_DATES, "ix", "drop", "line_terminator"))
    else:
        parts.add("ignore_index")
    if "gym" in tops:
        parts.add("step")
    if not tops.isdisjoint(("pytorch_lightning", "lightning")):
        parts.update(EPOCH_ENDS)
    if "matplotlib" in tops:
        parts.add("seaborn")
    if "seaborn" in tops:
        parts.update(PLOTS)
    if "librosa" in tops:
        parts.update(name.rpartition(".")[2] for name in POSITIONAL)
    parts.update(name.rpartition(".")[2] for name in NEEDED if name.partition(".")[0] in tops)
    if "transformers" in tops:
        parts.update(("from_pretrained", "lm_labels", "masked_lm_labels", "pipeline"))
        parts.update(entry.name for entry in removed_models.TOKENIZER_METHODS)
    return frozenset(part.encode() for part in parts)
