"""M4-02: a training program draws from random generators that nobody seeds."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_engineer.assessment.rule import MEDIUM, Hit, Missing, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.callgraph import Closure
    from ml_engineer.assessment.module import Module
    from ml_engineer.assessment.repo import Repo

# One call that seeds several generators.
_ALL = re.compile(
    r".*(seed_everything|seed_all|set_seed|set_random_seed|setup_seed|fix_seeds?|init_seeds?|set_all_seeds|fix_random"
    r"|set_determin\w+|enable_full_determinism|seed_torch|make_deterministic|set_reproducib\w+|random_seed)$"
)
_ONE_ONLY = re.compile(r"tensorflow\.(compat\.v1\.)?(random\.)?set_(random_)?seed$|random\.seed$|numpy\.random\.seed$")
_TRAINER = re.compile(
    r"transformers\.(\w*Trainer|TrainingArguments|Seq2SeqTrainingArguments)|trl\.\w*Trainer|ultralytics\.YOLO|"
    r"sagemaker\..*\.fit$"  # a job elsewhere: what is drawn here does not reach it
)


@dataclass(frozen=True)
class _Generator:
    name: str
    uses: re.Pattern[str]
    seeds: re.Pattern[str]


_TORCH_USES = (
    r"torch\.(rand\w*|normal|bernoulli|multinomial|utils\.data\.(DataLoader|random_split)|nn\.(init\.)?\w+|optim\.\w+)$"
    r"|(torchvision|timm)\.\S+$"
)
_KERAS_USES = (
    r"(tensorflow\.)?(python\.)?keras\.\S*(Sequential|Model|layers\.\w+|ImageDataGenerator)$|tensorflow\.random\.\w+$"
    r"|tensorflow\.(layers|nn|compat\.v1\.layers)\.\w+$"
)
_GENERATORS = (
    _Generator(
        "torch",
        re.compile(_TORCH_USES),
        re.compile(r"torch\.(manual_seed|random\.manual_seed|seed|cuda\.manual_seed(_all)?)$"),
    ),
    _Generator(
        "tensorflow / keras",
        re.compile(_KERAS_USES),
        re.compile(r"(tensorflow\.|tf\.)?\S*(set_random_seed|random\.set_seed|set_seed)$"),
    ),
    _Generator(
        "numpy",
        re.compile(r"numpy\.random\.(?!seed|default_rng|RandomState|Generator|SeedSequence)\w+$"),
        re.compile(r"numpy\.random\.seed$"),
    ),
    _Generator(
        "random",
        re.compile(r"random\.(random|randint|choice|choices|shuffle|sample|uniform|randrange|gauss|betavariate)$"),
        re.compile(r"random\.seed$"),
    ),
)


def _applies(repo: Repo) -> bool:
    from ml_engineer.assessment.learning import train_entries

    return bool(train_entries(repo)) and repo.uses("torch", "tensorflow", "keras", "numpy", "random", "mxnet")


@rule(
    id="MLE0402",
    name="framework-unseeded",
    step=4,
    severity=MEDIUM,
    title="Training is not seeded",
    why="Weights, batches and noise differ from run to run: a result cannot be repeated, nor two settings compared.",
    remedy="Seed every generator in use once at the start of training (one helper), and record the seed with the run.",
    source="Zhang et al., code smells for ML (2022); ML Test Score, Infrastructure 1",
    applies=_applies,
)
def check(repo: Repo) -> Iterator[Hit]:
    from ml_engineer.assessment.learning import entry_closure, train_entries

    sites: list[Missing] = []
    unseeded: list[str] = []
    for entry in train_entries(repo):
        closure = entry_closure(repo, entry)
        # Where no script leads to the training, or not all of it is seen, any seed in the repository may come before.
        others = repo.modules if entry.unit is not None or closure.cut else []
        lacking = _unseeded(closure, [m for m in others if "test" not in m.file.roles])
        unseeded.extend(name for name in lacking if name not in unseeded)
        if lacking:
            looked_for = [f"a seed for {name}" for name in lacking]
            sites.append(repo.missing(entry.site, looked_for, closure.modules))
    if sites:
        yield Hit(sites, title=f"Training is not seeded ({', '.join(unseeded)})")


def _unseeded(closure: Closure, others: list[Module]) -> list[str]:
    """Generators that the program draws from and never seeds, neither itself nor by one of the other modules."""
    called = [call.name for module in closure.modules for call in module.calls if closure.covers(module, call.node)]
    seeding = [*called, *(call.name for module in others for call in module.calls)]
    if any(_TRAINER.match(name) for name in called):
        return []
    if any(_ALL.match(name) and not _ONE_ONLY.match(name) for name in seeding):
        return []
    return [
        generator.name
        for generator in _GENERATORS
        if any(generator.uses.match(name) for name in called) and not any(generator.seeds.match(n) for n in seeding)
    ]
