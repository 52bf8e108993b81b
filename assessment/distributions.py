"""Which distributions provide an import name, and which distribution a conda package stands for.

Only names that differ from what is imported are listed; any other import name is taken for its distribution's name.
Several distributions may provide one import name: the usual one comes first.
"""

from __future__ import annotations

import functools
import re
import sys

STANDARD = frozenset(sys.stdlib_module_names) | {
    # Modules that older or newer versions of Python have.
    "asynchat", "asyncore", "distutils", "imp", "smtpd", "tomllib", "cgi", "cgitb", "telnetlib", "crypt", "pipes",
    "imghdr", "sndhdr", "nntplib", "uu", "xdrlib", "chunk", "audioop", "aifc", "sunau", "msilib", "nis", "spwd",
    "compression", "annotationlib", "lib2to3", "__builtin__", "urllib2", "urlparse", "ConfigParser", "Queue",
    "StringIO", "cStringIO", "cPickle", "commands", "HTMLParser", "Tkinter", "thread", "httplib", "exceptions",
}  # fmt: skip

# Modules that a platform brings with it and nobody installs: managed notebooks, Spark, functions, editors.
PLATFORM = frozenset(
    "dbutils databricks azureml_globals kaggle_secrets kaggle_datasets kaggle_environments bpy bmesh mathutils "
    "arcpy maya hou nuke unreal pyodide js micropython machine awsglue cml cdsw cmlapi dataiku inference_schema "
    "sagemaker_containers sagemaker_training sagemaker_inference haystack_integrations "
    "triton_python_backend_utils tensorrt uwsgi setuptools pip wheel pkg_resources site sitecustomize usercustomize "
    "_typeshed conftest".split()
)

# import name (or dotted prefix of it): distributions, the usual one first
_PROVIDERS = {
    "databricks": "databricks-sdk databricks-connect databricks-cli databricks-sql-connector databricks-feature-store "
    "databricks-feature-engineering databricks-vectorsearch databricks-registry-webhooks",
    "delta": "delta-spark", "hsfs": "hsfs hopsworks", "opensearchpy": "opensearch-py", "sparknlp": "spark-nlp",
    "synapse": "synapseml", "vertexai": "google-cloud-aiplatform",
    "absl": "absl-py", "agents": "openai-agents", "airflow": "apache-airflow", "apex": "nvidia-apex apex",
    "attr": "attrs", "azure.ai.ml": "azure-ai-ml", "azure.core": "azure-core", "azure.cosmos": "azure-cosmos",
    "azure.functions": "azure-functions", "azure.identity": "azure-identity",
    "azure.keyvault.secrets": "azure-keyvault-secrets", "azure.storage.blob": "azure-storage-blob",
    "azureml": "azureml-core azureml-sdk azureml-mlflow", "azureml.core": "azureml-core azureml-sdk",
    "bayes_opt": "bayesian-optimization", "Bio": "biopython", "botocore": "botocore boto3", "box": "python-box",
    "aviary": "fhaviary aviary", "autogluon": "autogluon autogluon-tabular",
    "bs4": "beautifulsoup4", "bson": "pymongo bson", "builtins": "future", "cairo": "pycairo",
    "cassandra": "cassandra-driver", "clip": "openai-clip clip clip-anytorch", "community": "python-louvain",
    "constraint": "python-constraint", "corsheaders": "django-cors-headers", "crispy_forms": "django-crispy-forms",
    "Crypto": "pycryptodome pycrypto", "Cryptodome": "pycryptodomex",
    "cuda": "cuda-python",
    "cv2": "opencv-python opencv-python-headless opencv-contrib-python opencv-contrib-python-headless",
    "dash_core_components": "dash-core-components dash", "dash_html_components": "dash-html-components dash",
    "dash_table": "dash-table dash", "dateutil": "python-dateutil", "decouple": "python-decouple",
    "debug_toolbar": "django-debug-toolbar", "deepsense": "neptune-cli", "django_filters": "django-filter",
    "discord": "discord-py py-cord", "dlib": "dlib dlib-bin", "docx": "python-docx", "dotenv": "python-dotenv",
    "en_core_web_lg": "en-core-web-lg spacy", "en_core_web_md": "en-core-web-md spacy",
    "en_core_web_sm": "en-core-web-sm spacy", "environ": "django-environ", "faiss": "faiss-cpu faiss-gpu",
    "fasttext": "fasttext fasttext-wheel", "ffmpeg": "ffmpeg-python", "fitz": "pymupdf",
    "flask_bootstrap": "flask-bootstrap bootstrap-flask", "flask_uploads": "flask-uploads flask-reuploaded",
    "gi": "pygobject", "git": "gitpython", "github": "pygithub", "google.api_core": "google-api-core",
    "google.auth": "google-auth", "google.cloud.aiplatform": "google-cloud-aiplatform",
    "google.cloud.bigquery": "google-cloud-bigquery", "google.cloud.logging": "google-cloud-logging",
    "google.cloud.pubsub": "google-cloud-pubsub", "google.cloud.pubsub_v1": "google-cloud-pubsub",
    "google.cloud.secretmanager": "google-cloud-secret-manager", "google.cloud.speech": "google-cloud-speech",
    "google.cloud.storage": "google-cloud-storage", "google.cloud.vision": "google-cloud-vision",
    "google.colab": "google-colab", "google.genai": "google-genai", "google.generativeai": "google-generativeai",
    "google.oauth2": "google-auth", "google.protobuf": "protobuf", "googleapiclient": "google-api-python-client",
    "gridfs": "pymongo", "grpc": "grpcio", "grpc_health": "grpcio-health-checking", "grpc_tools": "grpcio-tools",
    "gym": "gym gymnasium", "haystack": "farm-haystack haystack-ai", "hydra": "hydra-core",
    "ignite": "pytorch-ignite", "imblearn": "imbalanced-learn", "jose": "python-jose", "jwt": "pyjwt",
    "kafka": "kafka-python kafka-python-ng", "kerastuner": "keras-tuner",
    "Levenshtein": "levenshtein python-levenshtein", "libsvm": "libsvm libsvm-official",
    "lightning_fabric": "lightning-fabric lightning", "llama_cpp": "llama-cpp-python",
    "llama_index": "llama-index llama-index-core", "magic": "python-magic", "MeCab": "mecab-python3",
    "mpl_toolkits": "matplotlib", "msgpack": "msgpack msgpack-python", "multipart": "python-multipart",
    "mysql": "mysql-connector-python", "MySQLdb": "mysqlclient", "nacl": "pynacl",
    "onnxruntime": "onnxruntime onnxruntime-gpu", "open_clip": "open-clip-torch",
    "OpenGL": "pyopengl", "OpenSSL": "pyopenssl",
    "opentelemetry": "opentelemetry-api opentelemetry-sdk", "osgeo": "gdal",
    "paddle": "paddlepaddle paddlepaddle-gpu", "paho": "paho-mqtt",
    "pandas_profiling": "pandas-profiling ydata-profiling", "past": "future", "PIL": "pillow pillow-simd",
    "pillow_avif": "pillow-avif-plugin", "jscatter": "jupyter-scatter",
    "pyannote": "pyannote-audio pyannote-core pyannote-metrics", "sksurv": "scikit-survival",
    "pkg_resources": "setuptools", "pl_bolts": "lightning-bolts", "playhouse": "peewee",
    "psycopg2": "psycopg2-binary psycopg2", "pwnlib": "pwntools", "pycocotools": "pycocotools pycocotools-windows",
    "pylab": "matplotlib", "pyro": "pyro-ppl", "pynvml": "nvidia-ml-py pynvml", "pyspark": "pyspark databricks-connect",
    "pythonjsonlogger": "python-json-logger", "pytorch_lightning": "pytorch-lightning lightning",
    "pywt": "pywavelets", "rest_framework": "djangorestframework",
    "rest_framework_simplejwt": "djangorestframework-simplejwt",
    "ruamel.yaml": "ruamel-yaml", "serial": "pyserial", "skbase": "scikit-base",
    "skimage": "scikit-image",
    "sklearn": "scikit-learn", "sklearnex": "scikit-learn-intelex", "skopt": "scikit-optimize",
    "slack": "slackclient slack-sdk", "slugify": "python-slugify", "snowflake": "snowflake-connector-python",
    "socketio": "python-socketio", "soundfile": "soundfile pysoundfile", "speech_recognition": "speechrecognition",
    "st_aggrid": "streamlit-aggrid", "storages": "django-storages",
    "surprise": "scikit-surprise", "talib": "ta-lib", "telegram": "python-telegram-bot",
    "tensorflow": "tensorflow tensorflow-cpu tensorflow-gpu tensorflow-macos tf-nightly intel-tensorflow",
    "tensorflow_serving": "tensorflow-serving-api tensorflow-serving-api-gpu", "tlz": "toolz",
    "toolkit": "steppy-toolkit toolkit", "ts": "torchserve",
    "TTS": "tts coqui-tts", "tvm": "apache-tvm", "twitter": "python-twitter", "umap": "umap-learn", "usb": "pyusb",
    "vlc": "python-vlc", "websocket": "websocket-client", "whisper": "openai-whisper whisper", "win32api": "pywin32",
    "win32com": "pywin32", "win32gui": "pywin32", "wx": "wxpython", "xgboost": "xgboost xgboost-cpu",
    "Xlib": "python-xlib", "yaml": "pyyaml", "zmq": "pyzmq",
}  # fmt: skip

# Conda package -> distribution, where the names differ.
_CONDA = {
    "pytorch": "torch", "pytorch-cpu": "torch", "pytorch-gpu": "torch", "torchvision-cpu": "torchvision",
    "opencv": "opencv-python", "py-opencv": "opencv-python", "py-xgboost": "xgboost", "py-xgboost-cpu": "xgboost",
    "py-xgboost-gpu": "xgboost", "matplotlib-base": "matplotlib", "seaborn-base": "seaborn", "pytables": "tables",
    "msgpack-python": "msgpack", "dask-core": "dask", "ruamel_yaml": "ruamel-yaml", "tensorflow-base": "tensorflow",
    "tensorflow-mkl": "tensorflow", "keras-base": "keras", "keras-gpu": "keras", "python-graphviz": "graphviz",
    "faiss": "faiss-cpu", "lightgbm-cpu": "lightgbm", "pyg": "torch-geometric", "psycopg2": "psycopg2-binary",
    "python-duckdb": "duckdb", "spacy-model-en_core_web_sm": "en-core-web-sm", "mlflow-skinny": "mlflow",
    "pytorch-mutex": "", "cpuonly": "", "cudatoolkit": "", "pytorch-cuda": "", "cudnn": "", "nodejs": "", "pip": "",
}  # fmt: skip


# What a distribution is called besides its package where the plain name was taken or the project is written elsewhere.
_FORMS = (
    "{}-python", "python-{}", "{}-py", "{}-client", "{}-sdk", "py{}", "{}-lib", "{}-core", "{}-skinny", "{}-slim",
    "{}-cpu", "{}-gpu", "{}-binary", "{}-headless", "{}-base",
)  # fmt: skip


def canonical(name: str) -> str:
    """A distribution's name in the one spelling that compares equal (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).strip("-").lower()


@functools.lru_cache(maxsize=65_536)
def providers(target: str) -> tuple[str, ...]:
    """Distributions that provide a dotted import target, the usual one first. Never empty."""
    parts = target.split(".")
    for length in range(min(len(parts), 3), 0, -1):
        known = _PROVIDERS.get(".".join(parts[:length]))
        if known:
            return tuple(known.split())
    if target.startswith("google.cloud.") and len(parts) > 2:
        return (f"google-cloud-{canonical(re.sub(r'_v[0-9].*$', '', parts[2]))}",)
    name = canonical(parts[0])
    return (name, *(form.format(name) for form in _FORMS))


def of_conda(name: str) -> str | None:
    """The distribution that a conda package stands for; None for packages that are no Python distribution."""
    name = name.lower()
    known = _CONDA.get(name, canonical(name))
    return known or None


def is_standard(top: str) -> bool:
    """Whether a top-level import name belongs to Python itself."""
    return top in STANDARD
