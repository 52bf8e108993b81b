"""What a resolved name really stands for: through what local functions return and what local classes keep.

    origin(repo, "commons.get_model()")      torchvision.models.densenet121()
    origin(repo, "app.Scorer().model")       joblib.load()

and on top of it what is a model, where models are called, and what is read as an artefact. Names are those of
`Module.resolve`: `()` is the value of a call, `[]` an item.
"""

from __future__ import annotations

import ast
import posixpath
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment import callgraph, dataflow
from ml_engineer.assessment.index import children
from ml_engineer.assessment.module import UNKNOWN, Call, Function, Module
from ml_engineer.assessment.repo import matches

if TYPE_CHECKING:
    from ml_engineer.assessment.repo import Repo

_MAX_HOPS = 8
_SAME_OBJECT = re.compile(r"\.(to|cuda|cpu|eval|train|half|float|double|bfloat16|requires_grad_|share_memory)\(\)")

# Calls that read a model or another artefact of training from a file or a hub.
ARTEFACT_LOADERS = (
    "pickle.load", "pickle.loads", "cPickle.load", "_pickle.load", "dill.load", "cloudpickle.load", "joblib.load",
    "sklearn.externals.joblib.load", "torch.load", "torch.jit.load", "torch.hub.load", "*.from_pretrained",
    "*keras.models.load_model", "tensorflow.saved_model.load", "mlflow.*.load_model", "mlflow.load_model",
    "onnxruntime.InferenceSession", "transformers.pipeline", "transformers.pipelines.pipeline",
    "sentence_transformers.SentenceTransformer", "spacy.load", "fasttext.load_model", "whisper.load_model",
    "ultralytics.YOLO", "cv2.dnn.readNet*", "tensorflow.lite.Interpreter", "tflite_runtime.interpreter.Interpreter",
    "lightgbm.Booster", "xgboost.*().load_model", "catboost.*().load_model", "*keras.models.model_from_json",
    "skops.io.load", "pandas.read_pickle", "gensim.models.*.load", "fastai.*.load_learner", "*.load_from_checkpoint",
    "llama_cpp.Llama", "vllm.LLM", "easyocr.Reader", "paddleocr.PaddleOCR", "stanza.Pipeline", "timm.create_model",
    "surprise.dump.load", "*prophet.serialize.model_from_json", "implicit.*.load", "h2o.load_model",
)  # fmt: skip

_JOINS = ("os.path.join", "posixpath.join", "pathlib.Path", "pathlib.PurePath", "str")

_MODULE_BASES = (
    "torch.nn.Module", "torch.nn.modules.module.Module", "pytorch_lightning.LightningModule", "torch.nn.Sequential",
    "lightning.LightningModule", "lightning.pytorch.LightningModule", "pytorch_lightning.core.LightningModule",
    "transformers.PreTrainedModel", "transformers.*PreTrainedModel", "transformers.*Model", "torchvision.models.*",
)  # fmt: skip
_TORCH_MODELS = (
    "torchvision.models.*()", "torch.load()", "torch.jit.load()", "torch.hub.load()", "timm.create_model()",
    "torch.nn.Sequential()", "torch.nn.DataParallel()", "segmentation_models_pytorch.*()",
    "efficientnet_pytorch.EfficientNet.from_*()", "transformers.*.from_pretrained()",
    "torch.jit.script()", "torch.compile()", "*.load_from_checkpoint()",
)  # fmt: skip
_COMPILED = ("torch.compile()", "torch.jit.script()")
_STATE = re.compile(r"(?:fastapi|starlette)\b.*?\.state\.(\w+)")
_MODEL_NAME = re.compile(r"model|net|encoder|decoder|classifier|detector|generator|backbone|bert", re.I)
_NO_TORCH = re.compile(
    r"transformers\.(\w*Tokenizer\w*|\w*Processor\w*|\w*Extractor\w*|\w*Config|TF\w+|Flax\w+)\."
    r"|segmentation_models_pytorch\.(encoders\.get_preproc|losses|metrics|utils)"
)
_LOADED_WHOLE = re.compile(r"torch\.load\(\)(\[\w*\])?")  # a model saved as it is, not by its weights
_PASSES = re.compile(r"\.(forward|inference|infer)$")  # methods that run the network
_MODEL_PLACE = re.compile(r"(src\.)?(models?|nets?|networks?|arch\w*|modules?)(\.\w+)*\.[A-Z]\w*")
_CALLED_MODELS = (
    "transformers.pipeline()", "transformers.pipelines.pipeline()", "*keras.models.load_model()", "spacy.load()",
    "tensorflow.saved_model.load()*", "ultralytics.YOLO()", "tensorflow_hub.load()", "tensorflow_hub.KerasLayer()",
)  # fmt: skip
_PREDICTING = (
    "*.predict", "*.predict_proba", "*.predict_log_proba", "*.predict_on_batch", "*.predict_classes",
    "*.decision_function", "*.forward", "*.predict_generator", "*.transcribe", "onnxruntime.InferenceSession().run",
    "*.Interpreter().invoke", "sentence_transformers.SentenceTransformer().encode", "cv2.dnn.*().forward",
    "llama_cpp.Llama().*", "vllm.LLM().*", "*.kneighbors", "*.score_samples", "bentoml.*unner().*run",
    "boto3.*.invoke_endpoint", "?.invoke_endpoint",
)  # fmt: skip
# What the start of a web application keeps on it under the name of a model: `model = app.state.model; model(**inputs)`.
_KEPT_ON_APP = re.compile(
    r"(fastapi\.FastAPI|flask\.Flask)\(\)\.(state|config|extensions)\.(\w+_)?(model|classifier|net|pipe(line)?)"
)
_GENERATING = ("transformers.*().generate", "*.from_pretrained().generate", "?.generate", "vllm.LLM().generate")


def origin(repo: Repo, name: str) -> str:
    """The name with local functions replaced by what they return, and kept attributes by what they hold."""
    cache: dict[str, str] = repo.kept("origins")
    if name not in cache:
        current, seen = name, {name}
        for _ in range(_MAX_HOPS):
            following = _hop(repo, current)
            if following is None or following in seen:
                break
            seen.add(following)
            current = following
        cache[name] = current
    return cache[name]


def _hop(repo: Repo, name: str) -> str | None:
    state = _STATE.match(name)
    if state:
        kept = _kept_states(repo).get(state[1])
        return kept + name[state.end() :] if kept is not None else None
    for match in re.finditer(r"\(\)", name):
        plain, rest = name[: match.start()].replace("()", ""), name[match.end() :]
        function = repo.functions.get(plain)
        if function is None:
            head, _, attribute = plain.rpartition(".")
            function = callgraph.method(repo, head, attribute) if head in repo.classes else None
        if function is not None:
            found = _returned(function, rest)
            return found if found is not None and not found.startswith("?") else None
        if plain in repo.classes:
            field = re.match(r"\.(\w+)(?!\w)(?!\()", rest)
            held = attribute_value(repo, plain, field[1]) if field else None
            if field and held and not held.startswith("?"):
                return held + rest[field.end() :]
    return None


def _kept_states(repo: Repo) -> dict[str, str]:
    """What start-up code keeps on an application: the resolved value of `app.state.name = value`, by name."""
    found: dict[str, str] | None = repo.__dict__.get("_kept_states_cache")
    if found is None:
        found = {}
        for module in repo.modules:
            if ".state." not in module.file.text or "test" in module.file.roles:
                continue
            for node in module.nodes(ast.Assign):
                if isinstance(node.targets[0], ast.Attribute):
                    owner = node.targets[0].value
                    if isinstance(owner, ast.Attribute) and owner.attr == "state":
                        found.setdefault(node.targets[0].attr, module.resolve(node.value))
        repo.__dict__["_kept_states_cache"] = found
    return found


def _returned(function: Function, rest: str) -> str | None:
    """Resolved value of the function's first return that says something, with the rest of the name."""
    item = re.match(r"\[(\d+)\]", rest)
    for value in return_values(function):
        if item and isinstance(value, ast.Tuple) and int(item[1]) < len(value.elts):
            resolved, tail = function.module.resolve(value.elts[int(item[1])]), rest[item.end() :]
        else:
            resolved, tail = function.module.resolve(value), rest
        if not resolved.startswith(("?", "<NoneType>")):
            return resolved + tail
    return None


def return_values(function: Function) -> list[ast.expr]:
    """Expressions that a function returns or yields, those of nested functions left out."""
    found: list[ast.expr] = []
    stack: list[ast.AST] = list(function.node.body)
    while stack:
        node = stack.pop(0)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        if isinstance(node, ast.Return | ast.Yield) and node.value is not None:
            found.append(node.value)
        stack[:0] = children(node)
    return found


def attribute_value(repo: Repo, class_name: str, attribute: str) -> str | None:
    """Resolved value of what a local class keeps under a name, looked up through its local bases."""
    for name in callgraph.lineage(repo, class_name):
        module = repo.classes[name][0]
        bound = module.attribute(name.removeprefix(f"{module.dotted}."), attribute)
        if bound is not None and bound.value is not None:
            return module.resolve(bound.value) + bound.suffix
    return None


def value_of(repo: Repo, name: str) -> str:
    """`origin` without the calls that give back the same model (`.to()`, `.eval()` …)."""
    return _SAME_OBJECT.sub("", origin(repo, name))


def is_torch_class(repo: Repo, class_name: str) -> bool:
    """Whether a local class is a torch module."""
    return any(matches(base, *_MODULE_BASES) for base in callgraph.bases(repo, class_name))


def is_torch_model(repo: Repo, name: str) -> bool:
    """Whether a resolved name is an instance of a torch module."""
    value = value_of(repo, name)
    if _NO_TORCH.match(value):
        return False
    if matches(value, *_TORCH_MODELS):
        return True
    if not value.endswith("()"):
        return False
    if value[:-2] in repo.classes:
        return is_torch_class(repo, value[:-2])
    return _is_namesake(repo, value[:-2])


def _is_namesake(repo: Repo, name: str) -> bool:
    """Whether a class that an import looks for in the wrong place, `model.Net`, is a network that stands elsewhere."""
    if not _MODEL_PLACE.fullmatch(name):
        return False
    known: dict[str, bool] = repo.kept("namesakes")
    if name not in known:
        last = name.rpartition(".")[2]
        word = f"class {last}(".encode()
        places = [module for module in repo.modules if word in module.file.data and "test" not in module.file.roles]
        known[name] = len(places) == 1 and is_torch_class(repo, f"{places[0].dotted}.{last}")
    return known[name]


def model_behind(repo: Repo, call: Call) -> str:
    """Resolved name of the torch model that a call runs, `model(x)` or `model.forward(x)`; empty where it runs none.

    A model that comes in as a parameter is looked for where the function is called.
    """
    name = _PASSES.sub("", call.name)
    func = call.node.func
    if name != call.name and isinstance(func, ast.Attribute):
        func = func.value
    called = func.id if isinstance(func, ast.Name) else func.attr if isinstance(func, ast.Attribute) else ""
    if (name != call.name or name.endswith("()")) and is_torch_model(repo, name):
        # Functions are compiled, too: there only the name tells.
        return "" if value_of(repo, name) in _COMPILED and not _MODEL_NAME.search(called) else name
    if name.endswith("()") and _LOADED_WHOLE.fullmatch(value_of(repo, name)):
        return name
    if name.startswith("?") and _MODEL_NAME.search(called) and "forward" not in called:
        for step in dataflow.sources(repo, call.module, func):
            found = step.module.resolve(step.node) + step.suffix
            if is_torch_model(repo, found):
                return found
    return ""


def is_forward(repo: Repo, call: Call) -> bool:
    """Whether a call runs a torch module."""
    return call.name == "?.forward" or bool(model_behind(repo, call))


def is_model_call(repo: Repo, call: Call) -> bool:
    """Whether a call makes a model answer: predict, forward, a pipeline, a session's run."""
    if call.name in repo.functions:
        return False
    if _KEPT_ON_APP.fullmatch(call.name):
        return True
    if matches(call.name, *_PREDICTING) and not call.name.startswith(("random.", "super()")):
        return next(callgraph.callees(repo, call.name), None) is None
    if call.name.endswith(".generate"):
        return matches(call.name, *_GENERATING) or is_torch_model(repo, call.name.removesuffix(".generate"))
    if call.name.endswith((".run", ".invoke", ".async_run")):
        return matches(value_of(repo, call.name), *_PREDICTING)
    return is_forward(repo, call) or (call.name.endswith("()") and matches(value_of(repo, call.name), *_CALLED_MODELS))


def calls_in(function: Function) -> Iterator[Call]:
    """Calls of a function and of the functions nested in it, in source order."""
    module = function.module
    nested = {f for f in module.functions.values() if _is_inside(module, f, function)}
    for scope in [function, *nested]:
        yield from calls_of(module, scope)


def _is_inside(module: Module, inner: Function, outer: Function) -> bool:
    return inner is not outer and inner.qualname.startswith(f"{outer.qualname}.") and inner.class_name is None


def calls_of(module: Module, scope: Function | None) -> list[Call]:
    """Calls that stand directly in a scope (None: the module's own body)."""
    return module.calls_by_scope.get(scope, [])


def definition(repo: Repo, module: Module, node: ast.expr) -> tuple[Module, ast.expr] | None:
    """Where the value of an expression is written: the expression itself, or what a name or a setting is bound to.

    Names are followed into other modules and classes of settings; None where that is not possible.
    """
    found = module.value(node)
    if not isinstance(found, ast.Name | ast.Attribute):
        return (module, found) if found is not None else None
    name = ast.unparse(found)
    head, _, rest = name.partition(".")
    bound = next(iter(module.bindings_of(head, None)), None)
    if bound is not None and bound.target is not None:
        name = f"{bound.target}.{rest}" if rest else bound.target
    for _ in range(4):
        local = repo.local(module, name)
        if local is None:
            return None
        target, rest = local
        owner, _, attribute = rest.rpartition(".")
        bound = target.attribute(owner, attribute) if owner else next(iter(target.bindings_of(rest, None)[-1:]), None)
        if bound is None:
            return None
        if bound.value is not None and not bound.suffix:
            kept = target.value(bound.value)
            return (target, kept) if kept is not None else None
        if bound.target is None:
            return None
        module, name = target, bound.target
    return None


def constant(repo: Repo, module: Module, node: ast.expr | None) -> object:
    """The constant an expression stands for, also where another module keeps it; `UNKNOWN` where it is none."""
    found = definition(repo, module, node) if node is not None else None
    return found[0].literal(found[1]) if found is not None else UNKNOWN


def known_text(repo: Repo, module: Module, node: ast.expr | None, depth: int = 4) -> str | None:
    """The text behind an expression: a constant, or known parts that are put together.

    `os.path.join("data", NAME)`, `Path("data") / "x.csv"`, `FOLDER + "/x.csv"` and f-strings of such parts; what
    starts from `__file__` is counted from the root of the repository. None where one part is not known.
    """
    if node is None or depth < 0:
        return None
    above = _folder_above(repo, module, node)
    if above is not None:
        return above
    kept = constant(repo, module, node)
    if isinstance(kept, str):
        return kept
    found = definition(repo, module, node)
    if found is None:
        return None
    place, value = found
    parts: list[ast.expr] = []
    slash = ""
    match value:
        case ast.Call() if place.resolve(value.func) in _JOINS and not value.keywords:
            parts, slash = value.args, "/"
        case ast.BinOp(op=ast.Div()):
            parts, slash = [value.left, value.right], "/"
        case ast.BinOp(op=ast.Add()):
            parts = [value.left, value.right]
        case ast.JoinedStr():
            parts = [part.value if isinstance(part, ast.FormattedValue) else part for part in value.values]
    texts = [known_text(repo, place, part, depth - 1) for part in parts]
    known = [text for text in texts if text is not None]
    if not known or len(known) != len(texts):
        return None
    return slash.join(known).removeprefix("/" if slash and not known[0] else "")


def _folder_above(repo: Repo, module: Module, node: ast.expr, depth: int = 8) -> str | None:
    """The path behind `__file__`, and what climbs from it: `os.path.dirname(…)`, `….parent`, `….parents[1]`."""
    if depth < 0:
        return None
    match node:
        case ast.Name(id="__file__"):
            return module.path
        case ast.Name() | ast.Attribute(value=ast.Name()) if (
            not isinstance(node, ast.Attribute) or node.attr != "parent"
        ):
            found = definition(repo, module, node)
            if found is None or found[1] is node or isinstance(found[1], ast.Name):
                return None
            return _folder_above(repo, *found, depth - 1)
        case ast.Attribute(value=inner, attr="parent"):
            path = _folder_above(repo, module, inner, depth - 1)
            return posixpath.dirname(path) if path is not None else None
        case ast.Subscript(value=ast.Attribute(value=inner, attr="parents"), slice=ast.Constant(value=int(number))):
            path = _folder_above(repo, module, inner, depth - 1)
            for _ in range(number + 1 if path is not None and number < 9 else 0):
                path = posixpath.dirname(path or "")
            return path
        case ast.Call(func=ast.Attribute(value=inner, attr="resolve" | "absolute"), args=[]):
            return _folder_above(repo, module, inner, depth - 1)
        case ast.Call(args=[inner, *_]):
            name = module.resolve(node.func)
            if name in ("os.path.abspath", "os.path.realpath", "pathlib.Path", "str", "os.path.normpath"):
                return _folder_above(repo, module, inner, depth - 1)
            if name == "os.path.dirname":
                path = _folder_above(repo, module, inner, depth - 1)
                return posixpath.dirname(path) if path is not None else None
    return None
