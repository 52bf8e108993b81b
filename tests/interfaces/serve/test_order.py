"""What is understood from a client's words and data, and what is sent back."""

from __future__ import annotations

import pytest

from ml_engineer.interfaces.serve.common import Refused
from ml_engineer.interfaces.serve.order import SKILLS, STEP_SKILLS, Order

ALL = frozenset(range(1, 11))
FOLDERS = {"team/churn", "churn"}


@pytest.mark.parametrize(
    ("text", "order"),
    [
        ("review", Order("review")),
        ("/review churn", Order("review", "churn")),
        ('review "my repositories/churn" --steps 1,5', Order("review", "my repositories/churn", frozenset({1, 5}))),
        ("REVIEW --use-model .", Order("review", ".", use_model=True)),
        ("review the code in ./churn, please", Order("review", "./churn")),
        ("Let's check whether /srv/churn is ready.", Order("review", "/srv/churn")),
        ("Is this ready for production? Assess it", Order("review")),
        ("model-deployment churn", Order("model-deployment", "churn", frozenset({5}))),
        ("implement ./churn Add a health route", Order("implement", "./churn", task="Add a health route")),
        ("Review the CI/CD setup and/or the image", Order("review")),
        ("Is team/churn ready? Check it", Order("review", "team/churn")),
        ("route Scale input/output", Order("route", task="Scale input/output")),
        ("implement team/churn Add a health route", Order("implement", "team/churn", task="Add a health route")),
        ("implement . CI/CD for the service", Order("implement", ".", task="CI/CD for the service")),
        ("implement Add a health route", Order("implement", task="Add a health route")),
        ("route Scale it out to many regions", Order("route", task="Scale it out to many regions")),
        ("Delete everything in ./churn", None),
        ("Please implement a health route", None),
        ("", None),
        ("'", None),
    ],
)
def test_words(text: str, order: Order | None) -> None:
    assert Order.read(text, FOLDERS.__contains__) == order


@pytest.mark.parametrize("skill", SKILLS)
def test_every_skill_is_known_by_its_name(skill: str) -> None:
    order = Order.of({"skill": skill, "task": "x", "path": "a"})
    assert order.skill == skill
    assert order.steps == (frozenset({STEP_SKILLS[skill]}) if skill in STEP_SKILLS else ALL)
    assert order.is_review is (skill not in ("implement", "route"))


def test_numbers_that_became_floats_on_the_way_are_steps() -> None:
    assert Order.of({"skill": "review", "steps": [1.0, 5.0]}).steps == {1, 5}


@pytest.mark.parametrize(
    ("data", "says"),
    [
        ({"skill": "dance"}, "must be one of review"),
        ({}, "must be one of review"),
        ({"skill": "review", "root": "/"}, "unknown: root"),
        ({"skill": "review", "path": 3}, "path and task are text"),
        ({"skill": "review", "steps": [0]}, "numbers from 1 to 10"),
        ({"skill": "review", "steps": [1.5]}, "numbers from 1 to 10"),
        ({"skill": "review", "steps": []}, "numbers from 1 to 10"),
        ({"skill": "review", "use_model": "yes"}, "use_model is true or false"),
        ({"skill": "implement", "task": " "}, "needs a task"),
    ],
)
def test_wrong_data_is_refused_with_what_is_right(data: dict[str, object], says: str) -> None:
    with pytest.raises(Refused, match=says):
        Order.of(data)


@pytest.mark.parametrize("text", ["implement", "route ", "review . --steps 11", "implement CI/CD now"])
def test_a_command_that_lacks_something_is_refused(text: str) -> None:
    with pytest.raises(Refused):
        Order.read(text, FOLDERS.__contains__)
