"""Choices that commands offer, kept apart from what they choose so that `--help` stays fast."""

from __future__ import annotations

from typing import Any, Literal, get_args

import click

Format = Literal["text", "md", "json", "html", "sarif"]
FORMATS: tuple[Format, ...] = get_args(Format)
SEVERITIES = ("critical", "high", "medium", "low", "info")
ALL_STEPS = frozenset(range(1, 11))


class Refusal(click.ClickException):
    """Usage, configuration or state that keeps us from working: exit code 2."""

    exit_code = 2


class StepList(click.ParamType[frozenset[int]]):
    """Step numbers, separated by commas."""

    name = "steps"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> frozenset[int]:
        if isinstance(value, frozenset):
            return value
        try:
            steps = frozenset(int(part) for part in str(value).split(","))
        except ValueError:
            steps = frozenset({0})
        if not steps <= ALL_STEPS:
            self.fail(f"{value!r}: give numbers from 1 to 10, separated by commas, for example 1,5", param, ctx)
        return steps
