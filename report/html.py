"""The report as one HTML file: no script, no external resource, readable on a phone, in print, in light and dark.

The text and the picture come from `prompts/templates/report.html.j2`; everything put into it is escaped, and the style
sheet is the only one that the page's own content security policy lets in, by its digest.
"""

from __future__ import annotations

import base64
import hashlib
from functools import cache, lru_cache
from importlib.resources import files

from jinja2 import Environment, FunctionLoader, StrictUndefined
from markupsafe import Markup, escape

from ml_engineer.report import summary
from ml_engineer.report.schema import PIPELINE_COLUMNS, SECTION_FIELDS, Report, TestState
from ml_engineer.report.text import describe, number, one_line, place, plural, quoted, spans, visible, where


def render(report: Report) -> str:
    """The whole page. It is well-formed as XML too, whatever text the repository holds."""
    css = template("report.css")
    return (
        environment()
        .get_template("report.html.j2")
        .render(
            report=report,
            summary=summary.summarise(report),
            findings=summary.rank(report.findings),
            css=Markup(css),
            policy=content_policy(style=css),
            section_fields=SECTION_FIELDS,
            columns=PIPELINE_COLUMNS,
            test_states=list(TestState),
        )
    )


@cache
def environment() -> Environment:
    """Jinja for pages that show what others wrote: everything is made visible and escaped, a missing name an error."""
    environment = Environment(
        loader=FunctionLoader(template),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_finalize,
    )
    environment.filters.update(
        prose=_prose,
        where=where,
        describe=describe,
        quoted=quoted,
        number=number,
        plural=plural,
        one_line=one_line,
        step_line=summary.step_line,
    )
    environment.globals.update(
        place=place,
        evidence_line=summary.evidence_line,
        cost_line=summary.cost_line,
        readiness_line=summary.readiness_line,
        spent=summary.spent,
    )
    return environment


def content_policy(*, style: str, script: str | None = None) -> str:
    """A content security policy under which the page loads nothing, and only this inline text is style or script."""
    allowed = {"style-src": style, "script-src": script}
    sources = "".join(f" {name} '{_digest(text)}';" for name, text in allowed.items() if text is not None)
    return f"default-src 'none';{sources} base-uri 'none'; form-action 'none'"


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def template(name: str) -> str:
    """The text of a file beside the templates."""
    return files("ml_engineer.prompts").joinpath("templates", name).read_text(encoding="utf-8")


def _finalize(value: object) -> object:
    """Every string that the template puts out has its control characters made visible, and is then escaped by Jinja."""
    return visible(value) if isinstance(value, str) and not isinstance(value, Markup) else value


@lru_cache(maxsize=2048)  # a rule's words come again with each finding, and in the next report
def _prose(text: str) -> Markup:
    """One line of text, with `code` in backticks set as code."""
    return Markup("").join(
        Markup("<code>{}</code>").format(span.text) if span.code else escape(span.text) for span in spans(text)
    )
