"""Routing: sixty cases as a senior engineer would send them, and what holds for any findings."""

from __future__ import annotations

import random
import re
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from ml_engineer.assessment.rule import all_rules
from ml_engineer.delegation.peers import built_in
from ml_engineer.delegation.routes import CUES, PEERS
from ml_engineer.delegation.routing import MAX_EVIDENCE, route, why
from ml_engineer.report.schema import PIPELINE_COLUMNS, PIPELINE_STAGES, SECTION_FIELDS, Severity, pipeline_claim_name
from tests.delegation.conftest import claims, finding

CASES: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "routing_cases.yaml").read_text())
RULES = {rule.id: rule for rule in all_rules()}  # by id: parts of a row share it


def routed(case: dict[str, Any]) -> list[str]:
    found = [finding(text) for text in case.get("findings", [])]
    threshold = Severity(case.get("threshold", "high"))
    return [one.peer for one in route(found, claims(case.get("fields", {})), case.get("task", ""), threshold)]


@pytest.mark.parametrize("case", CASES, ids=[case["name"] for case in CASES])
def test_case(case: dict[str, Any]) -> None:
    assert sorted(routed(case)) == sorted(case["peers"])


def test_there_are_sixty_cases_with_every_peer_and_nobody() -> None:
    assert len(CASES) >= 60
    assert len({case["name"] for case in CASES}) == len(CASES)
    assert {peer for case in CASES for peer in case["peers"]} == set(PEERS)
    assert sum(case["peers"] == [] for case in CASES) >= 15
    used = {text.split()[0] for case in CASES for text in case.get("findings", [])}
    assert used <= set(RULES)


def test_every_route_names_rules_fields_and_peers_that_exist() -> None:
    fields = {name for _, names in SECTION_FIELDS.values() for name in names}
    fields |= {pipeline_claim_name(stage, column) for stage in PIPELINE_STAGES for column in PIPELINE_COLUMNS}
    assert len({cue.id for cue in CUES}) == len(CUES)
    for cue in CUES:
        assert set(cue.rules) | set(cue.given) <= set(RULES), cue.id
        assert {name for name, _ in cue.fields} <= fields, cue.id
        assert cue.rules or cue.steps or cue.fields or cue.words, cue.id
        for pattern in cue.words:
            re.compile(pattern)
    assert set(PEERS) == set(built_in().peers)


def test_no_rule_sends_two_questions_to_one_peer() -> None:
    for peer in PEERS:
        rules = [rule for cue in CUES if cue.peer == peer for rule in cue.rules]
        stepped = {step for cue in CUES if cue.peer == peer for step in cue.steps}
        assert len(rules) == len(set(rules)), peer
        assert not [rule for rule in rules if RULES[rule].step in stepped], peer


texts = st.tuples(st.sampled_from(sorted(RULES)), st.sampled_from(["critical", "high", "medium", "low", "info"]))


@given(st.lists(texts, max_size=30), st.sampled_from(list(Severity)), st.randoms(use_true_random=False))
def test_the_order_of_findings_changes_neither_peers_nor_cues(
    found: list[tuple[str, str]], threshold: Severity, shuffled: random.Random
) -> None:
    first = [finding(f"{rule} {severity}") for rule, severity in found]
    second = list(first)
    shuffled.shuffle(second)
    once, again = route(first, {}, "", threshold), route(first, {}, "", threshold)
    assert once == again
    assert [(one.peer, sorted(one.cue.split("; "))) for one in once] == [
        (one.peer, sorted(one.cue.split("; "))) for one in route(second, {}, "", threshold)
    ]


@given(st.lists(texts, max_size=30))
def test_a_lower_threshold_never_asks_fewer(found: list[tuple[str, str]]) -> None:
    all_findings = [finding(f"{rule} {severity}") for rule, severity in found]
    asked = [{one.peer for one in route(all_findings, {}, "", threshold)} for threshold in Severity]
    assert all(fewer <= more for fewer, more in pairwise(asked))


def test_overlapping_cues_are_one_hand_off_with_several_questions() -> None:
    (one,) = route([finding("MLE0101 high"), finding("MLE0302 high"), finding("MLE0404 high")], {})
    assert one.question.startswith("(1) ")
    assert "(3) " in one.question
    assert one.expected.count("(") >= 3
    assert len(one.cue.split("; ")) == 3


def test_the_heaviest_question_comes_first_and_what_the_user_asked_before_it() -> None:
    found = [finding("MLE0521 high"), finding("MLE0908 critical")]
    (one,) = route(found, {})
    assert one.cue.startswith("the infrastructure files")
    (asked,) = route(found, {}, "automate the deployment with GitHub Actions")
    assert asked.cue.startswith("nothing tests or ships a change")


def test_findings_of_one_rule_are_one_trigger() -> None:
    """Three places of one medium fault don't weigh like three faults."""
    assert route([finding("MLE0902 medium", line=number) for number in (1, 2, 3)], {}) == []


def test_why_names_cue_rule_severity_place_field_and_words() -> None:
    found = [finding("MLE0111 medium", line=7), finding("MLE0703 medium", line=9)]
    handoffs = route(found, claims({"Feedback Loops": "absent", "A/B Testing": "absent"}), "we need alerts\nsoon")
    text = "\n".join(map(why, handoffs))
    assert "[no-success-criterion]" in text
    assert "field Feedback Loops is absent (text of Feedback Loops); A/B Testing is absent" in text
    assert "MLE0111 was found, at train.py:7" in text
    assert "the task says “we need alerts”" in text
    assert "- MLE0703 medium: what MLE0703 says, at train.py:9" in text


def test_evidence_is_capped_and_each_piece_stands_once() -> None:
    found = [finding(f"{rule} high", line=number) for number, rule in enumerate(sorted(RULES), 1)]
    for one in route(found, {}):
        assert len(one.evidence) <= MAX_EVIDENCE
        assert len({item.line_start for item in one.evidence}) == len(one.evidence)


def test_the_id_follows_from_what_is_asked() -> None:
    (one,) = route([finding("MLE0101 high")], {})
    (same,) = route([finding("MLE0101 high")], {})
    (other,) = route([finding("MLE0102 high")], {})
    assert one.id == same.id
    assert one.id != other.id
    assert re.fullmatch(r"data-scientist-[0-9a-f]{8}", one.id)
