"""Facts about published releases, with the date they were gathered: versions that are harmful, which Python a release
has wheels for, which releases belong together, and what well-known packages bring along.

The tables say what they know and nothing more: a package or series that is not listed is unknown, and rules stay
silent on it. Extend a table by adding a line; the bounds are minor versions of Python 3.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from packaging.specifiers import SpecifierSet
from packaging.version import Version

AS_OF = "2026-06"


@dataclass(frozen=True, slots=True)
class BadRelease:
    """Releases that must not be installed. An empty `versions` means every release of that name."""

    name: str
    versions: tuple[str, ...]
    reported: str  # year, with the month where it is known
    what: str


BAD_RELEASES = (
    BadRelease("litellm", ("1.82.7", "1.82.8"), "2026", "steals credentials of the machine that imports it"),
    BadRelease("lightning", ("2.6.2", "2.6.3"), "2026", "steals credentials of the machine that imports it"),
    BadRelease("ultralytics", ("8.3.41", "8.3.42", "8.3.45", "8.3.46"), "2024-12", "runs a coin miner"),
    BadRelease("num2words", ("0.5.15",), "2025-07", "was published with a stolen account"),
    BadRelease(
        "torchtriton", (), "2022-12", "copied keys and files out; the name was never PyTorch's own on the index"
    ),
    BadRelease("ctx", ("0.1.2", "0.2", "0.2.2", "0.2.6"), "2022-05", "sends environment variables away"),
    BadRelease("deepseeek", (), "2025-01", "imitates another name and sends environment variables away"),
    BadRelease("deepseekai", (), "2025-01", "imitates another name and sends environment variables away"),
    BadRelease("colourama", (), "2018-10", "imitates colorama and changes the clipboard"),
    BadRelease("python3-dateutil", (), "2019-12", "imitates python-dateutil and steals keys"),
    BadRelease("jeilyfish", (), "2019-12", "imitates jellyfish and steals keys"),
)

# Distribution -> (first version of the series, oldest and newest Python 3 minor with a wheel), oldest series first.
# Compiled packages only: without a wheel the installation has to build them, which an image or CI runner cannot.
_WHEELS: dict[str, tuple[tuple[str, int, int], ...]] = {
    "tensorflow": (
        ("1.0", 3, 6), ("1.13", 3, 7), ("2.2", 5, 8), ("2.4", 6, 8), ("2.5", 6, 9), ("2.7", 7, 9), ("2.8", 7, 10),
        ("2.12", 8, 11), ("2.14", 9, 11), ("2.16", 9, 12), ("2.20", 9, 13), ("2.21", 10, 13),
    ),
    "torch": (
        ("1.0", 5, 7), ("1.4", 5, 8), ("1.5", 5, 8), ("1.7", 6, 9), ("1.11", 7, 10), ("1.13", 7, 11), ("2.0", 8, 11),
        ("2.2", 8, 12), ("2.5", 9, 13), ("2.9", 10, 14),
    ),
    "numpy": (
        ("1.14", 4, 6), ("1.15", 4, 7), ("1.17", 5, 8), ("1.19", 6, 9), ("1.20", 7, 9), ("1.21", 7, 10),
        ("1.22", 8, 10), ("1.23", 8, 11), ("1.25", 9, 11), ("1.26", 9, 12), ("2.1", 10, 13), ("2.3", 11, 14),
    ),
    "pandas": (
        ("0.24", 5, 7), ("0.25", 5, 8), ("1.0", 6, 8), ("1.1", 6, 9), ("1.2", 7, 9), ("1.3", 7, 10), ("1.4", 8, 10),
        ("1.5", 8, 11), ("2.1", 9, 12), ("2.2", 9, 13), ("2.3", 9, 14), ("3.0", 11, 14),
    ),
    "scikit-learn": (
        ("0.20", 4, 7), ("0.21", 5, 7), ("0.22", 5, 8), ("0.23", 6, 8), ("0.24", 6, 9), ("1.0", 7, 10),
        ("1.1", 8, 11), ("1.3", 8, 12), ("1.4", 9, 12), ("1.5", 9, 13), ("1.7", 10, 14), ("1.8", 11, 14),
    ),
    "scipy": (
        ("1.2", 4, 7), ("1.3", 5, 7), ("1.4", 5, 8), ("1.5", 6, 9), ("1.6", 7, 9), ("1.7", 7, 10), ("1.8", 8, 10),
        ("1.9", 8, 11), ("1.11", 9, 12), ("1.13", 9, 12), ("1.14", 10, 13), ("1.16", 11, 14),
    ),
    "matplotlib": (
        ("3.0", 5, 7), ("3.1", 6, 8), ("3.3", 6, 9), ("3.5", 7, 10), ("3.6", 8, 11), ("3.8", 9, 12), ("3.9", 9, 13),
        ("3.10", 10, 14),
    ),
}  # fmt: skip
_SAME_WHEELS = {"tensorflow-cpu": "tensorflow", "tensorflow-gpu": "tensorflow", "torchvision": ""}

# Oldest Python that a series of a pure Python package admits.
_FLOORS: dict[str, tuple[tuple[str, int], ...]] = {
    "flask": (("2.0", 6), ("2.1", 7), ("2.3", 8), ("3.1", 9)),
    "werkzeug": (("2.0", 6), ("2.1", 7), ("2.3", 8), ("3.1", 9)),
    "fastapi": (("0.64", 6), ("0.100", 7), ("0.104", 8)),
    "transformers": (("4.0", 6), ("4.20", 7), ("4.31", 8), ("4.50", 9), ("5.0", 10)),
    "mlflow": (("1.24", 7), ("2.0", 8), ("3.0", 9), ("3.2", 10)),
    "evidently": (("0.2", 7), ("0.4.5", 8), ("0.5", 9)),
    "networkx": (("2.6", 7), ("3.0", 8), ("3.2", 9), ("3.3", 10), ("3.5", 11)),
    "streamlit": (("1.0", 6), ("1.13", 7), ("1.24", 8), ("1.41", 9)),
    "pydantic": (("2.0", 7), ("2.6", 8), ("2.11", 9)),
    "ipython": (("7.17", 7), ("8.0", 8), ("8.13", 9), ("8.19", 10), ("9.0", 11)),
    "xgboost": (("1.6", 7), ("2.0", 8), ("2.1", 8), ("3.0", 10)),
}

# torchvision series -> the torch series it is built for, and requires.
TORCH_OF_TORCHVISION = {
    "0.4": ("1.2", "1.3"), "0.5": ("1.4",), "0.6": ("1.5",), "0.7": ("1.6",), "0.8": ("1.7",), "0.9": ("1.8",),
    "0.10": ("1.9",), "0.11": ("1.10",), "0.12": ("1.11",), "0.13": ("1.12",), "0.14": ("1.13",), "0.15": ("2.0",),
    "0.16": ("2.1",), "0.17": ("2.2",), "0.18": ("2.3",), "0.19": ("2.4",), "0.20": ("2.5",), "0.21": ("2.6",),
    "0.22": ("2.7",), "0.23": ("2.8",), "0.24": ("2.9",),
}  # fmt: skip

# Exact release range -> what it requires of another package, where pins are seen to break it.
REQUIRES = (
    ("tensorflow", "==2.4.*", "numpy", "~=1.19.2"),
    ("tensorflow", "==2.5.*", "numpy", "~=1.19.2"),
    ("tensorflow", "==2.12.*", "numpy", "<1.24"),
    ("tensorflow", "==2.13.*", "numpy", "<=1.24.3"),
    ("tensorflow", "==2.13.*", "typing-extensions", "<4.6"),
    ("tensorflow", ">=2.14,<2.18", "numpy", "<2"),
    ("tensorflow", ">=2.5,<2.12", "protobuf", "<3.21"),
    ("scikit-learn", "<1.4", "numpy", "<2"),
    ("pandas", ">=2.1,<2.2.2", "numpy", ">=1.22,<2"),
    ("fastapi", "<0.100", "pydantic", "<2"),
    ("fastapi", ">=0.101,<0.116", "pydantic", ">=1.7.4,<3"),
    ("flask", ">=2.3,<3", "werkzeug", ">=2.3.3"),
    ("flask", ">=3", "werkzeug", ">=3"),
    ("torch", "<2.3", "numpy", "<3"),
    ("kserve", ">=0.11,<0.16", "numpy", "<2"),
    ("kserve", "==0.11.*", "fastapi", "<0.96"),
    ("kserve", ">=0.12,<0.14", "fastapi", ">=0.109.1,<0.110"),
    ("kserve", ">=0.12,<0.14", "httpx", ">=0.26,<0.27"),
    ("kserve", "==0.13.*", "uvicorn", ">=0.21.1,<0.22"),
    ("kserve", ">=0.14,<0.16", "httpx", ">=0.27.2,<0.28"),
)

# Names on the index that cannot be installed, and what is meant.
NOT_INSTALLABLE = {"sklearn": "scikit-learn", "pil": "pillow", "opencv": "opencv-python", "cv2": "opencv-python"}

# Names that conda has, and pip cannot install; what to do instead.
CONDA_ONLY = {
    "python": "the version belongs into requires-python or the image",
    "pytorch": "torch is meant",
    "cudatoolkit": "the wheel of torch brings it along",
}

# Packages whose every release has four numbers: a pin with fewer names none of them.
FOUR_NUMBERS = frozenset(
    "opencv-python opencv-python-headless opencv-contrib-python opencv-contrib-python-headless".split()
)

# What a package always installs with it, as far as rules need it; `name[extra]` and `name<version` where only then.
BRINGS = {
    "pandas": "numpy python-dateutil pytz",
    "scikit-learn": "numpy scipy joblib threadpoolctl",
    "scipy": "numpy",
    "matplotlib": "numpy pillow python-dateutil packaging cycler",
    "seaborn": "numpy pandas matplotlib",
    "torchvision": "numpy torch pillow",
    "torchaudio": "torch",
    "librosa": "numpy scipy scikit-learn joblib numba soundfile audioread decorator packaging",
    "torchlibrosa": "numpy librosa",
    "soundfile": "cffi numpy",
    "resampy": "numpy numba",
    "speechbrain": "torch torchaudio numpy scipy joblib hyperpyyaml sentencepiece tqdm huggingface-hub packaging",
    "torchsummary": "",
    "torchinfo": "",
    "einops": "",
    "thop": "torch",
    "yacs": "pyyaml",
    "iopath": "tqdm typing-extensions portalocker",
    "fvcore": "numpy yacs pyyaml tqdm termcolor pillow tabulate iopath",
    "efficientnet-pytorch": "torch",
    "pretrainedmodels": "torch torchvision munch tqdm",
    "segmentation-models-pytorch": "torch torchvision timm pillow tqdm",
    "pytorch-metric-learning": "numpy torch scikit-learn tqdm",
    "open-clip-torch": "torch torchvision regex ftfy tqdm huggingface-hub timm safetensors",
    "kornia": "torch packaging",
    "pytorch-ignite": "torch packaging",
    "monai": "torch numpy",
    "diffusers": "huggingface-hub numpy regex requests safetensors pillow filelock",
    "torch-geometric": "numpy tqdm jinja2 requests",
    "dgl": "numpy scipy networkx requests tqdm psutil",
    "imgaug": "six numpy scipy pillow matplotlib scikit-image opencv-python imageio shapely",
    "pycocotools": "numpy matplotlib",
    "nibabel": "numpy packaging",
    "medpy": "numpy scipy simpleitk",
    "torchio": "numpy torch scipy nibabel simpleitk tqdm rich typer",
    "tensorboardx": "numpy protobuf packaging",
    "visdom": "numpy requests tornado pillow networkx websocket-client jsonpatch",
    "torchmetrics": "torch numpy packaging",
    "pytorch-lightning": "torch torchmetrics tqdm pyyaml fsspec packaging typing-extensions numpy lightning-utilities "
    "lightning-fabric",
    "lightning": "torch torchmetrics tqdm pyyaml fsspec packaging typing-extensions numpy pytorch-lightning "
    "lightning-utilities",
    "tensorflow": "numpy keras h5py protobuf six absl-py termcolor grpcio tensorboard packaging requests "
    "typing-extensions wrapt",
    "tensorflow-cpu": "numpy keras h5py protobuf six absl-py grpcio tensorboard packaging requests tensorflow",
    "tensorflow-gpu": "numpy keras h5py protobuf six absl-py grpcio tensorboard packaging requests tensorflow",
    "keras": "numpy h5py absl-py rich",
    "transformers": "numpy tqdm pyyaml requests regex filelock packaging huggingface-hub tokenizers safetensors",
    "datasets": "numpy pandas pyarrow tqdm requests dill fsspec huggingface-hub packaging pyyaml multiprocess",
    "sentence-transformers": "torch transformers numpy scikit-learn scipy tqdm huggingface-hub pillow",
    "peft": "torch transformers accelerate numpy tqdm pyyaml safetensors huggingface-hub",
    "accelerate": "torch numpy pyyaml psutil packaging huggingface-hub safetensors",
    "xgboost": "numpy scipy",
    "lightgbm": "numpy scipy",
    "catboost": "numpy pandas scipy matplotlib plotly six graphviz",
    "imbalanced-learn": "numpy scipy scikit-learn joblib",
    "statsmodels": "numpy scipy pandas patsy packaging",
    "gensim": "numpy scipy smart-open",
    "nltk": "click joblib regex tqdm",
    "spacy": "numpy requests pydantic jinja2 tqdm typer packaging thinc catalogue srsly wasabi weasel langcodes cymem",
    "jsonschema": "referencing attrs rpds-py jsonschema-specifications",
    "datasets[audio]": "soundfile librosa",
    "shap": "numpy scipy pandas scikit-learn tqdm packaging numba",
    "mlflow": "click flask gitpython numpy pandas pyyaml requests scikit-learn scipy sqlalchemy matplotlib pyarrow "
    "alembic docker jinja2 protobuf packaging cloudpickle",
    "evidently": "numpy pandas scikit-learn scipy plotly requests pyyaml pydantic nltk statsmodels",
    "flask": "werkzeug jinja2 click itsdangerous markupsafe",
    "fastapi": "starlette pydantic typing-extensions",
    "starlette": "anyio typing-extensions",
    "jina": "numpy docarray fastapi uvicorn grpcio requests opentelemetry-api prometheus-client pydantic aiohttp rich",
    "whisperx": "torch torchaudio transformers faster-whisper pandas nltk pyannote-audio ctranslate2",
    "bokeh": "tornado numpy pandas pillow pyyaml jinja2 contourpy packaging",
    "jupyter-scatter": "ipywidgets ipython numpy pandas matplotlib traitlets anywidget",
    "lifelines": "numpy scipy pandas matplotlib autograd",
    "gradio": "fastapi numpy pandas pillow pydantic requests httpx pyyaml uvicorn huggingface-hub jinja2 aiofiles",
    "streamlit": "numpy pandas pillow requests altair pyarrow click tornado protobuf toml packaging gitpython",
    "dash": "flask plotly werkzeug",
    "hydra-core": "omegaconf packaging antlr4-python3-runtime",
    "omegaconf": "pyyaml",
    "opencv-python": "numpy",
    "opencv-python-headless": "numpy",
    "opencv-contrib-python": "numpy",
    "scikit-image": "numpy scipy networkx pillow imageio packaging",
    "scikit-image<0.19": "matplotlib",
    "cloudpathlib[s3]": "boto3",
    "smart-open[s3]": "boto3",
    "s3fs": "aiobotocore fsspec botocore",
    "dvc-s3": "s3fs boto3",
    "dvc[s3]": "dvc-s3",
    "albumentations": "numpy scipy pyyaml opencv-python-headless",
    "timm": "torch torchvision pyyaml huggingface-hub safetensors",
    "optuna": "numpy sqlalchemy tqdm pyyaml alembic packaging colorlog",
    "wandb": "click gitpython requests protobuf pyyaml psutil sentry-sdk platformdirs packaging",
    "dvc": "gitpython requests tqdm pyyaml networkx packaging rich psutil ruamel-yaml omegaconf hydra-core",
    "boto3": "botocore s3transfer jmespath",
    "sagemaker": "boto3 numpy pandas protobuf pyyaml requests tqdm packaging",
    "tensorflow-hub": "numpy protobuf",
    "plotly": "packaging",
    "requests": "urllib3 certifi idna charset-normalizer",
    "prefect": "pydantic click httpx rich sqlalchemy pyyaml anyio pendulum",
    "apache-airflow": "flask jinja2 pendulum requests sqlalchemy pyyaml",
    "bentoml": "numpy pyyaml requests click starlette uvicorn pydantic httpx aiohttp jinja2 rich psutil packaging",
    "chromadb": "numpy pydantic requests uvicorn fastapi tqdm pyyaml httpx tokenizers onnxruntime rich",
    "evaluate": "datasets numpy pandas dill tqdm requests fsspec huggingface-hub packaging",
    "fastai": "torch torchvision pandas matplotlib pillow scikit-learn scipy pyyaml requests spacy packaging fastcore",
    "hivemind": "torch numpy scipy msgpack sortedcontainers uvloop grpcio-tools protobuf configargparse pydantic",
    "lancedb": "pyarrow numpy pydantic tqdm packaging",
    "trl": "transformers datasets accelerate",
    "vllm": "torch torchvision transformers fastapi pydantic numpy pillow openai requests tqdm psutil pyyaml",
    "ray": "click filelock jsonschema msgpack packaging protobuf pyyaml requests",
    "jupyter": "notebook ipykernel ipywidgets nbconvert ipython",
    "notebook": "jupyter ipython ipykernel nbformat nbconvert",
    "gymnasium": "numpy cloudpickle typing-extensions",
    "gym": "numpy cloudpickle",
    "stable-baselines3": "torch gymnasium numpy pandas matplotlib cloudpickle",
    "kfp": "pyyaml click kubernetes protobuf google-cloud-storage requests",
    "langchain": "pydantic requests pyyaml sqlalchemy langchain-core",
    "openai": "httpx pydantic tqdm typing-extensions anyio",
    "ultralytics": "torch torchvision numpy matplotlib opencv-python pillow pyyaml requests scipy tqdm pandas psutil",
    "yellowbrick": "matplotlib numpy scipy scikit-learn",
    "aif360": "numpy pandas scikit-learn scipy matplotlib",
    "dagshub": "click requests pyyaml gitpython rich httpx pandas",
    "azureml-sdk": "azureml-core",
    "azureml-core": "msrest msrestazure azure-core azure-common azure-identity adal msal docker requests pyjwt pytz",
    "torch": "filelock typing-extensions sympy networkx jinja2 fsspec",
    "torchtext": "torch numpy tqdm requests",
    "great-expectations": "numpy pandas scipy requests tqdm jinja2 jsonschema packaging pydantic ruamel-yaml nbformat",
    "prometheus-fastapi-instrumentator": "prometheus-client starlette",
    "prometheus-flask-exporter": "prometheus-client flask",
    "pyaml": "pyyaml",
    "h5py": "numpy",
    "tensorboard": "numpy protobuf grpcio markdown absl-py werkzeug packaging",
    "hyperopt": "numpy scipy networkx tqdm six future cloudpickle",
    "theano": "numpy scipy six",
    "gdown": "requests tqdm beautifulsoup4 filelock",
    "python-box": "ruamel-yaml",
    "ensure": "six",
    "imageio": "numpy pillow",
    "sqlalchemy": "greenlet typing-extensions",
    "pydantic": "typing-extensions annotated-types",
    "uvicorn": "click h11",
    "gunicorn": "packaging",
    "flask-cors": "flask",
    "flask-marshmallow": "flask marshmallow",
    "flask-restful": "flask aniso8601 pytz six",
    "flask-sqlalchemy": "flask sqlalchemy",
    "flask-wtf": "flask wtforms itsdangerous",
    "marshmallow-sqlalchemy": "marshmallow sqlalchemy",
    "connexion": "flask jsonschema pyyaml requests",
    "jinja2": "markupsafe",
    "django": "sqlparse asgiref",
    "djangorestframework": "django",
    "google-api-python-client": "google-api-core google-auth google-auth-httplib2 httplib2 uritemplate",
    "google-api-core": "google-auth googleapis-common-protos protobuf requests",
    "google-cloud-storage": "google-api-core google-auth google-cloud-core requests",
    "google-cloud-bigquery": "google-api-core google-auth google-cloud-core requests packaging python-dateutil",
    "google-cloud-aiplatform": "google-api-core google-auth google-cloud-storage google-cloud-bigquery protobuf",
    "pytest": "packaging pluggy iniconfig",
    **dict.fromkeys(
        "numpy pillow pyyaml tqdm python-multipart psycopg2-binary redis joblib dill six regex sentencepiece protobuf "
        "python-dotenv pymongo pyarrow click psutil cloudpickle loguru tabulate openpyxl xlrd appdirs werkzeug".split(),
        "",
    ),
}


def bad_release(name: str) -> BadRelease | None:
    return next((bad for bad in BAD_RELEASES if bad.name == name), None)


def wheels(name: str, version: Version) -> tuple[int, int] | None:
    """Oldest and newest minor of Python 3 that a release of a compiled package has wheels for; None: not known."""
    table = _WHEELS.get(_SAME_WHEELS.get(name, name), ())
    found = None
    for first, oldest, newest in table:
        if version >= Version(first):
            found = oldest, newest
    return found


def floor(name: str, version: Version) -> int | None:
    """Oldest minor of Python 3 that a release admits; None: not known."""
    found = None
    for first, oldest in _FLOORS.get(name, ()):
        if version >= Version(first):
            found = oldest
    return found


def brought_along(declared: Iterable[str]) -> dict[str, str]:
    """What the declared distributions install with them, over any number of steps, and which of them does so first."""
    found: dict[str, str] = {}
    for start in sorted(declared):
        seen, stack = {start}, [start]
        while stack:
            for inner in BRINGS.get(stack.pop(), "").split():
                found.setdefault(inner, start)
                if inner not in seen:
                    seen.add(inner)
                    stack.append(inner)
    return found


def minor(spec: SpecifierSet) -> int | None:
    """The minor of Python 3 that a declaration is about: `==3.8.*` or `==3.8.1`; None for a range."""
    for item in spec:
        match = re.match(r"3\.(\d{1,3})(?!\d)", item.version)
        if item.operator == "==" and match:
            return int(match[1])
    return None
