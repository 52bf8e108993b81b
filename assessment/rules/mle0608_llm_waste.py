"""M6-08: a language model is run without a bound, in full precision, or in a plain web handler."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from ml_engineer.assessment.grouping import per_file
from ml_engineer.assessment.rule import MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.module import Call
    from ml_engineer.assessment.repo import Repo

_BOUNDS = ("max_new_tokens", "max_length", "generation_config", "stopping_criteria", "max_time")
_PRECISION = ("torch_dtype", "dtype", "load_in_8bit", "load_in_4bit", "quantization_config")
_BILLIONS = re.compile(r"(?<![\w.])(\d+(?:\.\d+)?)b(?![a-z0-9])", re.I)


@rule(
    id="MLE0608",
    name="llm-waste",
    step=6,
    severity=MEDIUM,
    title="A language model is run wastefully",
    why="Tokens, memory and time are the cost of this service, and each of them is unbounded here.",
    remedy="Bound the answer, load in half precision, and serve with continuous batching (vLLM, LitServe, TGI).",
    source="vLLM documentation; Hugging Face generation guide",
    peers=("cloud-architect",),
    applies=lambda repo: repo.uses("transformers"),
)
def check(repo: Repo) -> Iterator[Hit]:
    unbounded: list[Site] = []
    full: list[Site] = []
    for call in repo.calls("*.generate", "transformers.*.from_pretrained", tests=False):
        if call.name.endswith(".generate"):
            if _is_language_model(repo, call) and not call.has_unpacked_keywords and not _given(call, _BOUNDS):
                unbounded.append(call.site())
        elif _is_large(repo, call) and not call.has_unpacked_keywords and not _given(call, _PRECISION):
            full.append(call.site())
    for group in per_file(unbounded):
        yield Hit(
            group,
            title="generate() has no bound of its own on the answer's length",
            why="The default is 20 tokens, which cuts answers, or the model's own bound, which may be thousands.",
            remedy="Pass max_new_tokens.",
            anchor=f"bound {group[0].path}",
        )
    for group in per_file(full):
        yield Hit(
            group,
            title="A model of more than a billion parameters is loaded in full precision",
            why="It takes twice the memory of half precision, and more time for each token.",
            remedy="Pass torch_dtype=torch.bfloat16, or a quantization_config.",
            anchor=f"precision {group[0].path}",
        )
    yield from _plain_handlers(repo)


def _is_language_model(repo: Repo, call: Call) -> bool:
    from ml_engineer.assessment.values import value_of

    return bool(re.match(r"(transformers|peft)\.\w+(\.from_pretrained)?\(\)", value_of(repo, call.name)))


def _given(call: Call, names: tuple[str, ...]) -> bool:
    return any(call.keyword(name) is not None for name in names)


def _is_large(repo: Repo, call: Call) -> bool:
    """Whether the model's name says more than a billion parameters; tokenizers and configurations hold none."""
    from ml_engineer.assessment.values import constant

    if re.search(r"\.(\w*Tokenizer\w*|\w*Config|\w*Processor)\.", call.name):
        return False
    name = constant(repo, call.module, call.node.args[0] if call.node.args else None)
    sizes = _BILLIONS.findall(name.replace("-", " ").replace("_", " ")) if isinstance(name, str) else []
    return any(float(size) > 1 for size in sizes)


def _plain_handlers(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.serving import SERVERLESS, web_handlers

    sites: list[Site] = []
    for handler in web_handlers(repo):
        generating = [c for c in handler.model_calls if c.name.endswith(".generate") and _is_language_model(repo, c)]
        if generating and handler.framework not in SERVERLESS:
            sites.append(generating[0].site())
    if sites:
        yield Hit(
            sites,
            title="A web handler generates text one request at a time",
            why="Requests wait for one another while the GPU works on a batch of one.",
            remedy="Put a server with continuous batching behind it (vLLM, TGI, LitServe) and call that.",
            anchor="plain",
        )
