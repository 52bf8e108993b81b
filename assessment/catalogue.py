"""Which packages and files show that something is there: frameworks, tracking, drift, metrics, pipelines …

`found(repo, category)` gives what a repository uses of a category, each with the place that shows it: an import in a
program (tests do not count, and a notebook counts only where no program does) or a file that only that tool reads.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import Site

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

# category -> imported package -> name to show.
PACKAGES: dict[str, dict[str, str]] = {
    "framework": {
        "torch": "PyTorch", "tensorflow": "TensorFlow", "keras": "Keras", "sklearn": "scikit-learn",
        "xgboost": "XGBoost", "lightgbm": "LightGBM", "catboost": "CatBoost", "jax": "JAX", "flax": "Flax",
        "transformers": "Transformers", "pytorch_lightning": "PyTorch Lightning", "lightning": "PyTorch Lightning",
        "fastai": "fastai", "statsmodels": "statsmodels", "prophet": "Prophet", "spacy": "spaCy", "mxnet": "MXNet",
        "theano": "Theano", "stable_baselines3": "Stable-Baselines3", "sentence_transformers": "Sentence Transformers",
        "ultralytics": "Ultralytics", "gensim": "Gensim", "surprise": "Surprise", "implicit": "implicit",
        "peft": "PEFT", "diffusers": "Diffusers", "onnxruntime": "ONNX Runtime", "h2o": "H2O", "torchvision": "PyTorch",
        "fasttext": "fastText", "paddle": "PaddlePaddle", "autogluon": "AutoGluon", "pycaret": "PyCaret",
        "darts": "Darts", "sktime": "sktime", "setfit": "SetFit", "flair": "Flair",
    },
    "serving": {
        "flask": "Flask", "fastapi": "FastAPI", "bentoml": "BentoML", "litserve": "LitServe", "kserve": "KServe",
        "streamlit": "Streamlit", "gradio": "Gradio", "sanic": "Sanic", "tornado": "Tornado", "aiohttp": "aiohttp",
        "starlette": "Starlette", "django": "Django", "bottle": "Bottle", "seldon_core": "Seldon Core",
        "mlserver": "MLServer", "dash": "Dash", "quart": "Quart", "falcon": "Falcon", "tritonclient": "Triton",
        "vllm": "vLLM", "grpc": "gRPC", "chalice": "Chalice", "modal": "Modal", "litestar": "Litestar",
    },
    "tracking": {
        "mlflow": "MLflow", "wandb": "Weights & Biases", "dvclive": "DVCLive", "aim": "Aim", "comet_ml": "Comet",
        "clearml": "ClearML", "neptune": "Neptune", "tensorboard": "TensorBoard", "tensorboardX": "TensorBoard",
        "sacred": "Sacred", "trackio": "Trackio", "swanlab": "SwanLab", "polyaxon": "Polyaxon",
    },
    "data": {
        "pandas": "pandas", "polars": "Polars", "pyspark": "Spark", "dask": "Dask", "numpy": "NumPy",
        "datasets": "Hugging Face Datasets", "torchvision": "torchvision", "torchtext": "torchtext", "cv2": "OpenCV",
        "librosa": "librosa", "nltk": "NLTK", "PIL": "Pillow", "duckdb": "DuckDB",
    },
    "validation": {
        "pandera": "Pandera", "great_expectations": "Great Expectations", "pointblank": "pointblank", "soda": "Soda",
        "tensorflow_data_validation": "TFDV", "cerberus": "Cerberus", "frictionless": "Frictionless",
        "deepchecks": "Deepchecks",
    },
    "drift": {
        "evidently": "Evidently", "nannyml": "NannyML", "alibi_detect": "Alibi Detect", "river": "River",
        "frouros": "Frouros", "popmon": "popmon", "whylogs": "whylogs", "deepchecks": "Deepchecks",
    },
    "metrics": {
        "prometheus_client": "Prometheus client", "prometheus_fastapi_instrumentator": "Prometheus instrumentator",
        "prometheus_flask_exporter": "Prometheus Flask exporter", "starlette_exporter": "Prometheus exporter",
        "starlette_prometheus": "Prometheus exporter", "opentelemetry": "OpenTelemetry", "statsd": "StatsD",
        "datadog": "Datadog", "ddtrace": "Datadog", "newrelic": "New Relic", "sentry_sdk": "Sentry",
        "applicationinsights": "Application Insights", "opencensus": "OpenCensus", "logfire": "Logfire",
    },
    "pipeline": {
        "airflow": "Airflow", "prefect": "Prefect", "dagster": "Dagster", "kedro": "Kedro", "metaflow": "Metaflow",
        "zenml": "ZenML", "luigi": "Luigi", "kfp": "Kubeflow Pipelines", "flytekit": "Flyte", "tfx": "TFX",
        "sagemaker": "SageMaker", "azureml": "Azure ML", "ploomber": "Ploomber", "hamilton": "Apache Hamilton",
    },
    "features": {
        "feast": "Feast", "hsfs": "Hopsworks", "hopsworks": "Hopsworks", "tecton": "Tecton", "feathr": "Feathr",
        "databricks.feature_store": "Databricks Feature Store",
    },
    "stream": {
        "kafka": "Kafka", "confluent_kafka": "Kafka", "aiokafka": "Kafka", "faust": "Faust", "pulsar": "Pulsar",
        "pika": "RabbitMQ", "nats": "NATS", "bytewax": "Bytewax", "quixstreams": "Quix Streams",
    },
    "edge": {
        "tflite_runtime": "TensorFlow Lite", "coremltools": "Core ML", "openvino": "OpenVINO",
        "ai_edge_litert": "LiteRT",
    },
    "load": {"locust": "Locust", "pytest_benchmark": "pytest-benchmark", "vegeta": "Vegeta"},
    "tuning": {
        "optuna": "Optuna", "hyperopt": "Hyperopt", "ray.tune": "Ray Tune", "skopt": "scikit-optimize",
        "keras_tuner": "KerasTuner", "kerastuner": "KerasTuner",
    },
    "flags": {
        "growthbook": "GrowthBook", "ldclient": "LaunchDarkly", "flagsmith": "Flagsmith", "UnleashClient": "Unleash",
    },
}  # fmt: skip

# category -> file pattern -> name to show.
FILES: dict[str, dict[str, str]] = {
    "pipeline": {
        "dvc.yaml": "DVC", "MLproject": "MLflow Projects", "Snakefile": "Snakemake", "*.nf": "Nextflow",
        "dagster.yaml": "Dagster", "prefect.yaml": "Prefect",
    },
    "features": {"feature_store.yaml": "Feast"},
    "load": {"locustfile*.py": "Locust", "k6*.js": "k6", "*.jmx": "JMeter"},
    "metrics": {"prometheus*.yml": "Prometheus", "prometheus*.yaml": "Prometheus", "**/dashboards/*.json": "Grafana"},
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Use:
    """A tool that the repository uses, and the place that shows it."""

    name: str
    site: Site


def found(repo: Repo, category: str) -> list[Use]:
    """What the repository uses of a category: each name once, in the table's order."""
    uses: dict[str, Use] = {}
    for use in _uses(repo, category):
        uses.setdefault(use.name, use)
    return list(uses.values())


def _uses(repo: Repo, category: str) -> Iterator[Use]:
    for package, name in PACKAGES.get(category, {}).items():
        top = package.split(".")[0]
        places = [
            (module, line)
            for module, line in repo.imported.get(top, [])
            if "." not in package or any(i.target.startswith(package) for i in repo.facts[module.path].imports)
        ]
        if places:
            module, line = min(places, key=lambda item: (item[0].is_notebook, item[0].path.count("/"), item[0].path))
            yield Use(name, module.site(line))
    for pattern, name in FILES.get(category, {}).items():
        for file in repo.glob(pattern):
            if not file.roles & {"test"}:
                yield Use(name, file.site(1))
                break


def names(category: str) -> tuple[str, ...]:
    """What `found` looks for in a category, for the evidence of an absence."""
    return (*PACKAGES.get(category, {}), *FILES.get(category, {}))
