"""The prompts: text that lies in `prompts/`, and the two ways in which it is filled.

    render("steps/05.md.j2", step=5, …)      a name that is missing is an error (StrictUndefined)
    quoted("README.md", text)                what others wrote, marked, so that the model takes no orders from it

Nothing of a target is ever rendered as a template: it only comes in as a value.
"""

from __future__ import annotations

import re
from functools import cache
from importlib.resources import files
from typing import Any

import jinja2

_MARK = re.compile(r"<(?=\s*/?\s*quoted\b)", re.IGNORECASE)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(str(files("ml_engineer.prompts"))),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        autoescape=False,  # Markdown for a model, not HTML; `quoted` is what keeps foreign text apart
    )
    environment.filters["quoted"] = lambda text, origin: quoted(origin, text)
    return environment


def render(template: str, /, **values: Any) -> str:
    """The prompt in the file `template`, filled. Raises jinja2.UndefinedError where a value is missing."""
    return _environment().get_template(template).render(values).strip()


def quoted(origin: str, text: str) -> str:
    """Text that others wrote, between marks that it cannot close itself."""
    origin = re.sub(r'["<>\s]+', " ", origin).strip()
    return f'<quoted from="{origin}">\n{_MARK.sub("&lt;", text)}\n</quoted>'
