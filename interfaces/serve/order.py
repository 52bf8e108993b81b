"""What a client asks for, in words or as data: a skill, a folder, steps, a task.

    Order.read("review churn --steps 1,5", is_folder)                        a command
    Order.read("Please check whether ./churn is ready for use", is_folder)   a sentence that asks for a review
    Order.of({"skill": "route", "task": "scale it out"})          data

Only a review is understood from a sentence: it changes nothing. Everything else has to be named. A word with a slash,
such as CI/CD, is a path where it begins like one or `is_folder` knows it.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from ml_engineer.interfaces.options import ALL_STEPS
from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.report.schema import STEP_NAMES

REVIEW, IMPLEMENT, ROUTE = "review", "implement", "route"
STEP_SKILLS = {re.sub(r"\W+", "-", name.lower()): step for step, name in STEP_NAMES.items()}
SKILLS = (REVIEW, IMPLEMENT, ROUTE, *STEP_SKILLS)
USAGE = (
    "Say what is to be done: `review [PATH] [--steps 1,5]`, `implement [PATH] TASK`, `route [PATH] TASK`, or one step "
    f"by its name, such as `{next(iter(STEP_SKILLS))} [PATH]`."
)
NO_PEER = "No peer is needed: nothing in the task or the repository asks for one."

_ASKS_FOR_REVIEW = re.compile(
    r"\b(review|assess|audit|inspect|check)(s|es|ed|ing|ment)?\b|\b(production[- ]read|readiness)", re.IGNORECASE
)
_KEYS = frozenset({"skill", "path", "steps", "task", "use_model"})


@dataclass(frozen=True)
class Order:
    """One piece of work. `path` as the client wrote it; None where it names none."""

    skill: str
    path: str | None = None
    steps: frozenset[int] = ALL_STEPS
    task: str = ""
    use_model: bool = False

    @property
    def is_review(self) -> bool:
        """Whether it is a review, of all steps or of one."""
        return self.skill == REVIEW or self.skill in STEP_SKILLS

    @classmethod
    def of(cls, data: Mapping[str, Any]) -> Order:
        """From data. Refused where a key or a value is wrong."""
        unknown = set(data) - _KEYS
        if unknown:
            raise Refused(f"unknown: {', '.join(sorted(map(str, unknown)))}; there are {', '.join(sorted(_KEYS))}")
        skill, path, task = data.get("skill"), data.get("path"), data.get("task", "")
        if skill not in SKILLS:
            raise Refused(f"skill is {skill!r}; it must be one of {', '.join(SKILLS)}")
        if not isinstance(path, str | None) or not isinstance(task, str):
            raise Refused("path and task are text")
        if not isinstance(data.get("use_model", False), bool):
            raise Refused("use_model is true or false")
        return cls._made(skill, path, _steps(data.get("steps")), task, data.get("use_model", False))

    @classmethod
    def read(cls, text: str, is_folder: Callable[[str], bool]) -> Order | None:
        """From words, or None where they ask for nothing that is understood without a model."""
        words = _split(text)
        if not words:
            return None
        skill = words[0].removeprefix("/").lower()
        if skill in SKILLS:
            return cls._command(skill, words[1:], text, is_folder)
        if _ASKS_FOR_REVIEW.search(text):
            return cls(REVIEW, _first_path(words, is_folder))
        return None

    @classmethod
    def _command(cls, skill: str, words: list[str], text: str, is_folder: Callable[[str], bool]) -> Order:
        steps: Any = None
        if "--steps" in words:
            place = words.index("--steps")
            steps, words = " ".join(words[place + 1 : place + 2]), words[:place] + words[place + 2 :]
        use_model = "--use-model" in words
        words = [word for word in words if word != "--use-model"]
        if skill in (IMPLEMENT, ROUTE):
            path = words[0] if words and _is_path(words[0], is_folder) else None
            if path is None and skill == IMPLEMENT and words and "/" in words[0]:  # a slip here would change another
                raise Refused(f"{words[0]} is no folder here; where it belongs to the task, say `implement . TASK`")
            task = text.strip().partition(" ")[2].strip()
            return cls._made(skill, path, ALL_STEPS, task.removeprefix(path or "").strip(), use_model)
        path = (
            words[0] if len(words) == 1 else _first_path(words, is_folder)
        )  # "review churn", "review the code in ./churn"
        return cls._made(skill, path, _steps(steps), "", use_model)

    @classmethod
    def _made(cls, skill: str, path: str | None, steps: frozenset[int], task: str, use_model: bool) -> Order:
        if skill in STEP_SKILLS:
            steps = frozenset({STEP_SKILLS[skill]})
        if skill in (IMPLEMENT, ROUTE) and not task.strip():
            raise Refused(f"{skill} needs a task: say what is to be done")
        return cls(skill, path, steps, task.strip(), use_model)


def _split(text: str) -> list[str]:
    try:
        return shlex.split(text)
    except ValueError:  # an apostrophe, as in "let's"
        return text.split()


def _first_path(words: list[str], is_folder: Callable[[str], bool]) -> str | None:
    """The first word of a sentence that is a path, without the punctuation behind it."""
    return next((word.rstrip(",;:!?") for word in words if _is_path(word.rstrip(",;:!?"), is_folder)), None)


def _is_path(word: str, is_folder: Callable[[str], bool]) -> bool:
    return word in (".", "..") or word.startswith(("./", "../", "/", "~")) or ("/" in word and is_folder(word))


def _steps(given: Any) -> frozenset[int]:
    """Step numbers from a list (numbers may have become floats on the way) or from text with commas."""
    if given is None:
        return ALL_STEPS
    parts = given.split(",") if isinstance(given, str) else given
    try:
        numbers = [float(part) for part in parts]
    except (TypeError, ValueError):
        numbers = []
    if not numbers or not set(numbers) <= ALL_STEPS:
        raise Refused(f"steps are {given!r}; give numbers from 1 to 10")
    return frozenset(map(int, numbers))
