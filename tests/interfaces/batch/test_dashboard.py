"""The dashboard: one file that loads nothing, says everything without a script, and keeps others' text as text."""

from __future__ import annotations

import base64
import datetime
import hashlib
import json
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.interfaces.batch.compare import Earlier, compare
from ml_engineer.interfaces.batch.dashboard import render
from ml_engineer.interfaces.batch.policy import Exempt, Forbid, Policy
from ml_engineer.interfaces.batch.summary import Row
from ml_engineer.report.schema import STEP_NAMES, Severity
from tests.interfaces.batch.conftest import Batch
from tests.interfaces.batch.material import Faults, failed, fault, large, row, score, summary_of
from tests.support import chromium

XHTML = "{http://www.w3.org/1999/xhtml}"
TODAY = datetime.date(2026, 6, 1)
Many = Callable[[int], list[Path]]


def rendered(rows: list[Row], faults: Faults | None = None, **more: Any) -> str:
    faults = faults or {}
    summary = summary_of(rows, faults).model_copy(update=more)
    links = {one.folder: f"reports/{one.folder}/report.html" for one in rows if one.state in ("reviewed", "partial")}
    return render(summary, faults, links)


def page(text: str) -> ET.Element:
    """The page, read by a parser that accepts only what is well-formed."""
    return ET.fromstring(text)


def said(element: ET.Element) -> str:
    return " ".join("".join(element.itertext()).split())


def spaced(element: ET.Element) -> str:
    """The text with a space between its elements, as cells are seen."""
    return " ".join(" ".join(element.itertext()).split())


def by_id(root: ET.Element, name: str) -> ET.Element:
    (found,) = (element for element in root.iter() if element.get("id") == name)
    return found


def table(root: ET.Element, name: str = "repositories") -> list[list[str]]:
    """The text of every cell, the heads first."""
    return [[said(cell) for cell in line] for line in by_id(root, name).iter(XHTML + "tr")]


def heads(root: ET.Element) -> list[str]:
    return table(root)[0]


def column(root: ET.Element, head: str) -> list[str]:
    first, *rows = table(root)
    return [cells[first.index(head)] for cells in rows]


def few() -> tuple[list[Row], Faults]:
    """Three repositories: one bad, one good, one that failed."""
    bad = [fault("f1", severity="critical"), fault("f2", "MLE1010")]
    rows = [row("good", readiness=90), row("bad", bad, readiness=30), failed("gone", "git cannot fetch it")]
    return rows, {rows[1].folder: bad}


def judged(rows: list[Row], faults: Faults) -> Any:
    exempt = Exempt(repository="bad", rule="MLE0506", reason="soon", until=TODAY.replace(year=2025))
    policy = Policy(forbid=Forbid(rules=["MLE0506"]), exception=[exempt])
    return policy.judge(rows, faults, fail_on=Severity.HIGH, today=TODAY)


def against(before: list[Row], old: Faults, rows: list[Row], faults: Faults) -> Any:
    return compare(Earlier("d" * 64, summary_of(before, old), old), rows, faults)


# --- what it says -----------------------------------------------------------------------------------------------------


def test_repositories_stand_worst_first_with_a_link_to_their_report() -> None:
    root = page(rendered(*few()))
    assert column(root, "Repository") == [
        "gonegit cannot fetch it", "badClassification · API · Flask", "goodClassification · API · Flask",
    ]  # fmt: skip
    assert column(root, "State") == ["failed", "reviewed", "reviewed"]
    assert (column(root, "Critical"), column(root, "High")) == (["–", "1", "0"], ["–", "1", "0"])
    links = [element.get("href") for element in by_id(root, "repositories").iter(XHTML + "a")]
    assert links == ["reports/bad-00000000/report.html", "reports/good-00000000/report.html"]


def test_readiness_by_step_is_a_heat_map_in_figures_and_shades() -> None:
    values = [0, 19, 20, 40, 59, 60, 80, 100, None, 55]
    root = page(rendered([row("a", steps=[score(step, value) for step, value in enumerate(values, 1)])]))
    cells = [cell for cell in by_id(root, "repositories").iter(XHTML + "td") if "step" in cell.get("class", "").split()]
    assert [said(cell) for cell in cells] == ["0", "19", "20", "40", "59", "60", "80", "100", "–", "55"]
    shades = [cell.get("class", "").split()[1] for cell in cells]
    assert shades == ["h0", "h0", "h1", "h2", "h2", "h3", "h4", "h4", "none", "h2"]
    text = said(root)
    assert all(f"{step} {name}" in text.replace(f"{step}{name}", f"{step} {name}") for step, name in STEP_NAMES.items())


def test_what_was_not_reviewed_and_what_only_in_part_is_said_in_plain_words() -> None:
    partial = row("half", state="partial", gaps=["big.py was not read", "step 5 failed"])
    root = page(rendered([*few()[0], partial, row("later", state="waiting")]))
    text = said(root)
    assert "Coverage is partial" in text
    assert "gone failed: git cannot fetch it" in text
    assert "later waiting: its turn has not come" in text
    assert "half: big.py was not read; step 5 failed" in text
    assert "All of them were reviewed as a whole" in said(page(rendered([row("a")])))


def test_common_faults_stand_by_how_many_repositories_have_them() -> None:
    everywhere, twice = fault("f1", "MLE1014", "low"), [fault("f2"), fault("f3")]
    rows = [row("a", [everywhere]), row("b", [everywhere, *twice])]
    root = page(rendered(rows, {rows[0].folder: [everywhere], rows[1].folder: [everywhere, *twice]}))
    (faults,) = (e for e in root.iter(XHTML + "table") if "faults" in e.get("class", "").split())
    lines = [[said(cell) for cell in line] for line in faults.iter(XHTML + "tr")][1:]
    assert [(line[1], line[4], line[6]) for line in lines] == [("MLE1014", "2", "2"), ("MLE0506", "1", "2")]
    assert lines[0][0] == "The repository has no licence"
    assert json.loads(said(by_id(root, "by-rule"))) == {"MLE1014": [1, 2], "MLE0506": [1]}


def test_owners_scopes_and_labels_are_shown_where_a_list_gave_them() -> None:
    plain = page(rendered([row("a")]))
    assert not {"Owner", "Scope"} & set(heads(plain))
    root = page(rendered([row("a", owner="risk", labels={"tier": "1"}), row("b", scope="svc")]))
    assert column(root, "Owner") == ["risk", ""]
    assert column(root, "Scope") == ["", "svc"]
    assert "tier 1" in column(root, "Repository")[0]
    assert {"risk 1", "no owner 1"} <= {said(cell) for cell in root.iter(XHTML + "th")}


def test_the_verdict_of_a_policy_is_shown_with_what_has_expired() -> None:
    rows, faults = few()
    root = page(rendered(rows, faults, policy=judged(rows, faults)))
    text = said(root)
    assert "Policy failed 1 repository does not keep it; 1 exception has expired" in text
    assert "bad: 2 findings at or above high; MLE0506 is forbidden: 1 finding" in text
    assert "no finding at or above high 1" in spaced(root)
    assert "MLE0506 soon 2025-06-01 expired 1" in spaced(root)
    green = [row("a")]
    incomplete = Policy().judge([*green, failed("b")], {}, fail_on=Severity.HIGH, today=TODAY)
    assert "not all was looked at, so it is not kept" in said(page(rendered(green, policy=incomplete)))
    assert "Policy" not in said(page(rendered(green)))


def test_a_comparison_is_shown_with_what_each_repository_gained() -> None:
    rows, faults = few()
    before = [row("good", readiness=80), row("bad", readiness=30), row("old")]
    root = page(rendered(rows, faults, comparison=against(before, {}, rows, faults)))
    text = said(root)
    assert "2 repositories compared: 2 new, 0 fixed, 0 moved" in text
    assert "good 0 0 0 80 % → 90 %" in spaced(root)
    assert "old is not in this batch" in spaced(root)
    assert (column(root, "New"), column(root, "Fixed")) == (["–", "2", "0"], ["–", "0", "0"])
    assert "New" not in heads(page(rendered(rows, faults)))


def test_a_batch_of_nothing_has_a_page() -> None:
    text = said(page(rendered([])))
    assert "0 repositories" in text
    assert "No findings." in text


# --- for everyone, safely ---------------------------------------------------------------------------------------------


def test_it_loads_nothing_and_its_policy_admits_only_its_own_style_and_script() -> None:
    text = rendered(*few())
    root = page(text)
    tags = {element.tag.removeprefix(XHTML) for element in root.iter()}
    assert not tags & {"link", "img", "iframe", "object", "form", "base"}
    for element in root.iter():
        for name, value in element.attrib.items():
            assert not name.startswith("on")
            assert name not in {"style", "src", "srcset", "action"}
            assert name != "href" or value.startswith(("#", "reports/"))
    assert "url(" not in text
    assert "@import" not in text
    assert "innerHTML" not in text
    style = text.partition("<style>")[2].partition("</style>")[0]
    script = text.rpartition("<script>")[2].partition("</script>")[0]
    allowed = [base64.b64encode(hashlib.sha256(part.encode()).digest()).decode() for part in (style, script)]
    (policy,) = (e.get("content", "") for e in root.iter(XHTML + "meta") if e.get("http-equiv"))
    assert policy == (
        f"default-src 'none'; style-src 'sha256-{allowed[0]}'; script-src 'sha256-{allowed[1]}'; "
        "base-uri 'none'; form-action 'none'"
    )


def test_a_screen_reader_is_told_what_is_what() -> None:
    rows, faults = few()
    more = {"policy": judged(rows, faults), "comparison": against(rows, faults, rows, faults)}
    root = page(rendered([*rows, row("owned", owner="risk")], faults, **more))
    assert root.get("lang") == "en"
    for one in root.iter(XHTML + "table"):
        assert said(next(one.iter(XHTML + "caption")))
        assert all(head.get("scope") == "col" and said(head) for line in one.findall(f".//{XHTML}thead//{XHTML}th")
                   for head in [line])  # fmt: skip
        assert all(head.get("scope") == "row" for head in one.findall(f".//{XHTML}tbody//{XHTML}th"))
    sortable = [head for head in by_id(root, "repositories").iter(XHTML + "th") if head.get("data-sort")]
    assert [head.get("aria-sort") for head in sortable] == ["ascending"] + ["none"] * (len(sortable) - 1)
    assert all(said(label) for label in by_id(root, "tools").iter(XHTML + "label"))
    assert by_id(root, "shown").get("aria-live") == "polite"
    assert all(e.get("aria-label") or e.get("aria-hidden") for e in root.iter(XHTML + "svg"))
    names = [e.get("id") for e in root.iter() if e.get("id")]
    assert len(names) == len(set(names))


@pytest.mark.parametrize(
    "text", ["<script>alert(1)</script>", "\"'><img src=x onerror=alert(1)>", "</style>", "]]>*/", "&amp;", "{{ 7*7 }}"]
)
def test_markup_in_a_repository_is_shown_as_text(text: str) -> None:
    root = page(hostile(text))
    assert len(list(root.iter(XHTML + "script"))) == 2
    assert not list(root.iter(XHTML + "img"))
    assert text in said(by_id(root, "repositories"))
    assert not {text} & {element.get("href") for element in root.iter(XHTML + "a")}


def hostile(text: str) -> str:
    """A page in which this text is everywhere that a repository, a list or a policy can put it."""
    found = [fault("f1", title=text, path=text), fault("f2", f"MLE10{text}", title=text)]
    names = {"owner": text, "scope": text, "labels": {text: text}, "place": text, "what": text}
    rows = [
        row(text, found, folder="a-0", **names),
        row(text, folder="b-0", state="partial", gaps=[text], **names),
        failed(text, text).model_copy(update={"folder": "c-0"}),
    ]
    faults = {"a-0": found}
    exempt = Exempt(repository=text.strip() or "x", rule="MLE0506", reason=text.strip() or "x", until=TODAY)
    verdict = Policy(exception=[exempt]).judge(rows, faults, fail_on=Severity.INFO, today=TODAY)
    before = [row(text, folder="a-0"), row(text, folder="d-0"), row("c", folder="c-0")]
    return rendered(rows, faults, policy=verdict, comparison=against(before, {}, rows, faults))


CHARACTERS = st.characters(exclude_characters="\r\n`") | st.sampled_from("<>&\"'\0\x1b\u202e\ud800\ufffe")


@settings(deadline=None, max_examples=25)
@given(text=st.text(CHARACTERS, max_size=20))
def test_any_text_leaves_the_page_well_formed(text: str) -> None:
    plain = [element.tag for element in page(hostile("x")).iter()]
    root = page(hostile(f"x{text}"))
    assert [element.tag for element in root.iter()] == plain
    assert "\x1b" not in said(root)


def test_it_is_the_same_page_each_time() -> None:
    assert rendered(*few()) == rendered(*few())


def test_it_grows_with_the_repositories_and_not_with_their_findings() -> None:
    few_findings, many_findings = large(100, 500), large(100, 10_000)
    sizes = [len(render(summary, faults, {})) for summary, faults in (few_findings, many_findings)]
    assert sizes[1] < sizes[0] + 150_000
    assert len(render(*large(1000, 20_000), {})) < 2_000_000


# --- in a batch -------------------------------------------------------------------------------------------------------


def test_a_batch_leaves_a_dashboard_of_which_every_link_leads_to_a_report(
    batch: Batch, many: Many, tmp_path: Path, out: Path
) -> None:
    (tmp_path / "empty").mkdir()
    result = batch(*many(2), "empty")
    assert str(out / "dashboard.html") in result.stdout
    root = page((out / "dashboard.html").read_text())
    links = [element.get("href", "") for element in by_id(root, "repositories").iter(XHTML + "a")]
    assert len(links) == 2
    assert all(link.endswith("/report.html") and (out / link).is_file() for link in links)
    assert column(root, "State") == ["failed", "reviewed", "reviewed"]
    batch(*many_more(tmp_path), "--formats", "sarif", into=tmp_path / "plain")
    root = page((tmp_path / "plain" / "dashboard.html").read_text())
    links = [element.get("href", "") for element in by_id(root, "repositories").iter(XHTML + "a")]
    assert all(link.endswith("/report.json") and (tmp_path / "plain" / link).is_file() for link in links)


def many_more(tmp_path: Path) -> list[Path]:
    return sorted((tmp_path / "repos").iterdir())


# --- in a browser -----------------------------------------------------------------------------------------------------

in_a_browser = pytest.mark.skipif(bool(chromium.missing()), reason=chromium.missing() or "there is a browser")
NAMES = "[...document.querySelectorAll('#repositories tbody tr:not([hidden]) th')].map(e => e.firstChild.textContent)"
SORTED = "[...document.querySelectorAll('#repositories thead th')].map(e => e.ariaSort)"


@pytest.fixture(scope="module")
def browser() -> Iterator[chromium.Chromium]:
    with chromium.Chromium.start() as started:
        yield started


def shown_page(browser: chromium.Chromium, folder: Path, text: str) -> None:
    path = folder / "dashboard.html"
    path.write_text(text, encoding="utf-8")
    browser.resize(1280, 900)
    browser.console.clear()
    browser.open(path.as_uri())


def pressed(browser: chromium.Chromium, head: str) -> list[str]:
    """The repositories in their order, after a press on the head of a column."""
    buttons = "[...document.querySelectorAll('#repositories thead button')]"
    browser.run(f"{buttons}.find(e => e.textContent.includes('{head}')).click()")
    names: list[str] = browser.run(NAMES)
    return names


@in_a_browser
def test_the_heads_sort(browser: chromium.Chromium, tmp_path: Path) -> None:
    counted = {
        name: [fault(f"{name}{n}", severity="low") for n in range(count)]
        for name, count in zip("abc", (9, 10, 0), strict=True)
    }
    rows = [row(name, found, readiness={"a": 100, "b": 9, "c": None}[name]) for name, found in counted.items()]
    shown_page(browser, tmp_path, rendered(rows, {one.folder: counted[one.name] for one in rows}))
    assert browser.run(NAMES) == ["b", "a", "c"]
    assert pressed(browser, "Ready") == ["b", "a", "c"]  # what has no figure stays at the end
    assert pressed(browser, "Ready") == ["a", "b", "c"]
    assert browser.run(SORTED).index("descending") == 2
    assert pressed(browser, "Low") == ["b", "a", "c"]
    assert pressed(browser, "Low") == ["c", "a", "b"]
    assert pressed(browser, "Repository") == ["a", "b", "c"]
    assert pressed(browser, "Worst first") == ["b", "a", "c"]
    assert [value for value in browser.run(SORTED) if value != "none"] == ["ascending"]
    assert browser.console == []


@in_a_browser
def test_the_tools_filter(browser: chromium.Chromium, tmp_path: Path) -> None:
    rows, faults = few()
    rows[0] = rows[0].model_copy(update={"owner": "risk"})
    shown_page(browser, tmp_path, rendered(rows, faults))

    def choose(name: str, value: str) -> list[str]:
        event = "input" if name == "words" else "change"
        change = f"e => {{ e.value = '{value}'; e.dispatchEvent(new Event('{event}')); }}"
        browser.run(f"({change})(document.getElementById('{name}'))")
        names: list[str] = browser.run(NAMES)
        return names

    assert choose("words", "BAD flask") == ["bad"]
    assert browser.run("document.getElementById('shown').textContent") == "1 of 3 shown"
    assert choose("words", "") == ["gone", "bad", "good"]
    assert choose("of-state", "failed") == ["gone"]
    assert choose("of-state", "") == ["gone", "bad", "good"]
    assert choose("of-owner", "=risk") == ["good"]
    assert choose("of-owner", "=") == ["gone", "bad"]
    browser.run("document.getElementById('clear').click()")
    assert choose("of-severity", "0") == ["bad"]
    browser.run("document.getElementById('clear').click()")
    assert browser.run(NAMES) == ["gone", "bad", "good"]
    browser.run("document.querySelector('button[data-rule]').click()")
    assert browser.run(NAMES) == ["bad"]
    assert browser.run("document.activeElement.id") == "of-rule"
    assert browser.console == []


@in_a_browser
def test_nothing_of_a_repository_runs_and_the_page_fits_a_phone(browser: chromium.Chromium, tmp_path: Path) -> None:
    shown_page(
        browser, tmp_path, hostile("</script><script>window.hit = 1</script><img src=x onerror='window.hit = 1'>")
    )
    assert browser.run("window.hit === undefined && document.images.length === 0")
    assert browser.console == []
    for width in (360, 800, 1280):
        browser.resize(width, 800)
        assert browser.run("document.documentElement.scrollWidth") <= width


@in_a_browser
def test_the_table_is_a_table_for_a_screen_reader(browser: chromium.Chromium, tmp_path: Path) -> None:
    shown_page(browser, tmp_path, rendered(*few()))
    for width in (1280, 360):
        browser.resize(width, 800)
        nodes = browser.call("Accessibility.getFullAXTree")["nodes"]
        roles = [node["role"]["value"] for node in nodes if not node.get("ignored")]
        assert roles.count("rowheader") >= 3
        assert roles.count("columnheader") >= 20
        assert roles.count("cell") >= 3 * 17
        assert "Worst first" in " ".join(node["name"]["value"] for node in nodes if node.get("name"))


@in_a_browser
def test_a_large_batch_opens_and_its_rows_are_there(browser: chromium.Chromium, tmp_path: Path) -> None:
    shown_page(browser, tmp_path, render(*large(1000, 20_000), {}))
    assert browser.run("document.querySelectorAll('#repositories tbody tr').length") == 1000
    assert browser.run("document.getElementById('shown').textContent") == "1,000 of 1,000 shown"
