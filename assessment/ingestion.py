"""Where training data is read, and whether anything checks it before a model is fitted on it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.dataflow import Step, callers, sources
from ml_engineer.assessment.index import walk
from ml_engineer.assessment.judging import read_paths
from ml_engineer.assessment.learning import entry_closure, fit_data, train_entries, trainings
from ml_engineer.assessment.module import Call, Function, Module
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

FRAME_READS = (
    "pandas.read_csv", "pandas.read_excel", "pandas.read_json", "pandas.read_parquet", "pandas.read_table",
    "pandas.read_sql*", "pandas.read_feather", "pandas.read_hdf", "pandas.read_pickle", "polars.read_*",
    "dask.dataframe.read_*", "numpy.loadtxt", "numpy.genfromtxt", "sklearn.datasets.fetch_*", "*.read.csv",
    "*.read.parquet", "*.read.json", "*.read.table", "pyspark.sql.*.sql", "geopandas.read_file",
)  # fmt: skip
_FILE_READS = ("json.load", "csv.reader", "csv.DictReader", "json.loads")
# A picture, a recording or an array for each row: what a data set of one's own opens.
_SAMPLE_READS = (
    "cv2.imread", "PIL.Image.open", "Image.open", "skimage.io.imread", "imageio.*imread", "tifffile.imread",
    "torchvision.io.read_image", "librosa.load", "librosa.core.load", "torchaudio.load", "soundfile.read",
    "scipy.io.wavfile.read", "nibabel.load", "pydicom.dcmread", "pydicom.read_file", "SimpleITK.ReadImage",
    "rasterio.open", "numpy.load", "h5py.File", "scipy.io.loadmat", "*.load_rgb", "*.load_grayscale", "*.load_image",
    "*.load_img", "*.load_wav", "*.load_audio",
)  # fmt: skip
_WIDE_READS = ("numpy.load", "h5py.File", "scipy.io.loadmat")  # weights and tables of names are kept so, too
_LOADS = re.compile(r"load|read|dataset|batch|generat|get_(data|image|img|sample)", re.I)
_LOOKS = re.compile(r"plot|show|visuali|predict|infer|demo|eval|test", re.I)  # at some picture, when all is trained
_CHECKS_SAMPLE = re.compile(
    r"\bNone\b|exists|isfile|is_file|verify|\.shape|\.size|len\(|\.ndim|isfinite|isnan|suffix|ext"
)
_NO_DATA = re.compile(
    r"config|conf\b|param|setting|vocab|label_?map|class_?names|token|args|meta|checkpoint|model|state|log|mapping|"
    r"schema|secret|credential|auth|\bkey|metric|result|history|index|template|prompt|feature_?names|report|prediction|score|outputs?\b|manifest|\bstats|_stats\b",
    re.I,
)
VALIDATORS = (
    "pandera", "great_expectations", "tensorflow_data_validation", "tfdv", "deepchecks", "evidently", "cerberus",
    "jsonschema", "pydantic", "marshmallow", "voluptuous", "soda", "whylogs", "patito", "dataframely", "pydeequ",
    "cleanlab", "frictionless", "ydata_quality",
)  # fmt: skip
_CHECKS_DATA = re.compile(
    r"isnull|isna|notnull|notna|dtypes?\b|columns|\.shape|\.empty|len\(|\.min\(|\.max\(|\.between|\.isin|duplicated|nunique|"
    r"isfinite|isnan|set\(|label|\bdf\b|\bdata\b|frame|rows"
)
_ABOUT_ANSWERS = re.compile(r"pred|prob|answer|output|argv|\bargs\b", re.I)
_CHECK_NAME = re.compile(
    r"validat(e|ion)|check_(data|schema|column|quality|input|frame|null|missing)|sanity|data_quality|expect_"
)


_CHAINED = re.compile(r"(pandas|polars|dask)\..*\(\)")  # a method of what was read


@dataclass(frozen=True, slots=True)
class Read:
    """A read of training data. `proven`: it was seen to flow into a fit; otherwise it is read by a training program.
    `sample`: it opens one picture, recording or array of many, in a data set of the repository's own."""

    call: Call
    proven: bool
    sample: bool = False


def training_reads(repo: Repo) -> list[Read]:
    """Reads of data by training programs, scripts before notebooks, the proven first. Kept for the review."""
    found: list[Read] | None = repo.__dict__.get("_training_reads")
    if found is None:
        found = sorted(_training_reads(repo), key=_rank)
        repo.__dict__["_training_reads"] = found
    return found


def _rank(read: Read) -> tuple[bool, bool, bool, bool]:
    module = read.call.module
    return module.is_notebook, read.sample, not read.proven, "train" not in module.file.name


def _training_reads(repo: Repo) -> Iterator[Read]:
    fitted = {id(step.node) for call in trainings(repo) for step in _behind_fit(repo, call)}
    seen: set[ast.Call] = set()
    for entry in train_entries(repo):
        closure = entry_closure(repo, entry)
        for call in closure.calls(*FRAME_READS, *_FILE_READS, "datasets.load_dataset"):
            if _CHAINED.match(call.name):
                continue
            if call.node in seen or (call.name == "datasets.load_dataset" and not _reads_own_files(call)):
                continue
            seen.add(call.node)
            proven = id(call.node) in fitted
            framed = call.name == "datasets.load_dataset" or matches(call.name, *FRAME_READS)
            if (framed and (proven or not _is_by_product(repo, call))) or _is_data_file(repo, call, proven):
                yield Read(call, proven)
        for call in closure.calls("fasttext.train_supervised"):  # it reads the file itself
            if call.node not in seen:
                seen.add(call.node)
                yield Read(call, proven=True)
        for call in closure.calls(*_WIDE_READS):
            if call.node not in seen and id(call.node) in fitted and not _NO_DATA.search(_target(call)):
                seen.add(call.node)
                yield Read(call, proven=True)
        for call in closure.calls(*_SAMPLE_READS):
            if call.node not in seen and call.name not in repo.functions and _is_sample(repo, call):
                seen.add(call.node)
                yield Read(call, proven=False, sample=True)


def _is_sample(repo: Repo, call: Call) -> bool:
    """Whether a program's own data set opens a file for a row: in a class with `__getitem__`, in what such a one calls,
    or, where it can only be a picture or a recording, in a function that loads."""
    scope = call.scope
    if scope is None:  # a script that gathers its rows itself
        many = call.module.enclosing(call.node, ast.For) is not None and not matches(call.name, *_WIDE_READS)
        return many and not call.module.is_notebook and not _LOOKS.search(call.module.file.name)
    if _NO_DATA.search(_target(call)) or _LOOKS.search(scope.qualname):
        return False
    if _is_dataset(call.module, scope):
        return True
    if matches(call.name, *_WIDE_READS):
        return False
    if _LOADS.search(scope.qualname):
        return True
    return any(above.scope is not None and _is_dataset(above.module, above.scope) for above in callers(repo, scope))


def _is_dataset(module: Module, function: Function) -> bool:
    """Whether a function is a method of a class that gives rows by their number, or one after the other."""
    named = {f"{function.class_name}.{name}" for name in ("__getitem__", "__iter__")}
    return function.class_name is not None and not named.isdisjoint(module.functions)


def checks_samples(call: Call) -> bool:
    """Whether the module that opens a sample looks at what it got: a test that leads on, or a read that may fail."""
    module = call.module
    if any(isinstance(above, ast.Try) for above in module.ancestors(call.node)):
        return True
    for node in module.nodes(ast.Assert, ast.If):
        match node:
            case ast.Assert(test=test) if _CHECKS_SAMPLE.search(ast.unparse(test)):
                return True
            case ast.If(test=test, body=body) if any(isinstance(n, ast.Raise | ast.Continue) for n in body):
                if _CHECKS_SAMPLE.search(ast.unparse(test)):
                    return True
    return False


def _behind_fit(repo: Repo, call: Call) -> Iterator[Step]:
    data = fit_data(call)[0]
    if data is not None and not call.name.endswith("backward"):
        yield from sources(repo, call.module, data)


def _is_by_product(repo: Repo, call: Call) -> bool:
    """Whether a file by its path holds results or names, not data."""
    first = call.node.args[0] if call.node.args else None
    names = (path.rpartition("/")[2] for path in read_paths(repo, call.module, first))
    return any(_NO_DATA.search(name) for name in names)


def _reads_own_files(call: Call) -> bool:
    """`load_dataset("json", data_files=…)`: own files, not a published data set."""
    return call.module.literal(call.argument(0, "path")) in ("json", "csv", "parquet", "text")


def _is_data_file(repo: Repo, call: Call, proven: bool) -> bool:
    """Whether an opened file holds data: by its literal path, or because it flows into a fit."""
    first = call.node.args[0] if call.node.args else None
    paths = read_paths(repo, call.module, first)
    if any(_NO_DATA.search(path) for path in paths) or _NO_DATA.search(_target(call)):
        return False
    return proven or any(path.lower().endswith((".json", ".csv", ".jsonl", ".tsv", ".txt")) for path in paths)


def _target(call: Call) -> str:
    """What the value of a call is assigned to, as text."""
    statement = call.module.statement_of(call.node)
    return " ".join(ast.unparse(t) for t in statement.targets) if isinstance(statement, ast.Assign) else ""


def checks_data(modules: Iterable[Module]) -> bool:
    """Whether something in these modules checks data: a schema library, an assertion, a raise behind a test, types."""
    return any(_checks(module) for module in modules)


def _checks(module: Module) -> bool:
    found: bool | None = module.__dict__.get("_checks_data")
    if found is None:
        found = any(item.target.split(".")[0] in VALIDATORS for item in module.imports) or _checks_by_hand(module)
        module.__dict__["_checks_data"] = found
    return found


def _is_about_data(test: ast.expr) -> bool:
    text = ast.unparse(test)
    return bool(_CHECKS_DATA.search(text)) and not _ABOUT_ANSWERS.search(text)


_SKIPS = (ast.Continue, ast.Pass, ast.Break, ast.Assign, ast.AugAssign, ast.Return)


def _is_looked_at(module: Module, node: ast.expr) -> bool:
    """Whether missing or repeated rows are counted or asked for: as a mask they only choose rows, or values to fill."""
    for above in module.ancestors(node):
        match above:
            case ast.Subscript():
                return False
            case ast.Attribute(attr="any" | "sum" | "all" | "mean" | "value_counts"):
                return True
            case ast.If(body=body) if all(isinstance(s, _SKIPS) for s in body):
                return False  # one value that is passed over or replaced
            case ast.stmt():
                return isinstance(above, ast.If | ast.Assert | ast.While | ast.Expr)
    return False


def _in_forward(module: Module, node: ast.AST) -> bool:
    """Whether it stands in a network's pass: what it looks at is no data any more."""
    scope = module.scope_of(node)
    return scope is not None and scope.node.name == "forward"


def _checks_by_hand(module: Module) -> bool:
    for node in module.nodes(ast.Assert, ast.If, ast.Call, ast.FunctionDef, ast.keyword):
        match node:
            case ast.Assert(test=test) if _is_about_data(test) and not _in_forward(module, node):
                return True
            case ast.If(test=test, body=body) if any(isinstance(n, ast.Raise) for n in body):
                if _is_about_data(test):
                    return True
            case ast.Call(func=ast.Attribute(attr="isnull" | "isna" | "notnull" | "duplicated")) if _is_looked_at(
                module, node
            ):
                return True
            case ast.FunctionDef(name=name) if _CHECK_NAME.search(name) and "cross" not in name:
                if any(isinstance(n, ast.Raise | ast.Assert | ast.Return) for n in walk(node)):
                    if re.search(r"data|schema|column|frame|input|quality|null|missing|expect", name):
                        return True
            case ast.keyword(arg="dtype", value=ast.Dict() | ast.Name()):
                parent = module.parent(node)
                if isinstance(parent, ast.Call) and "read_" in module.resolve(parent.func):
                    return True
    return False
