"""YAML with lines: values, places, and files made to hurt."""

import textwrap

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_engineer.assessment.files import File
from ml_engineer.assessment.manifests import MAX_DEPTH, parse
from ml_engineer.assessment.repo import Repo


def read(text):
    text = textwrap.dedent(text)
    file = File(None, "a.yaml", len(text))
    file.text = text
    return parse(file, text)


def write(tmp_path, files):
    for path, text in files.items():
        target = tmp_path / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(textwrap.dedent(text))
    return Repo.open(tmp_path)


def test_values_come_with_their_lines():
    (document,) = read(
        """\
        spec:
          ports:
            - name: http
              port: 8080
          run: |
            first

            second
        """
    ).documents
    port = document.get("spec", "ports", 0, "port")
    assert (port.integer(), port.line) == (8080, 4)
    assert document.get("spec", "ports", 1) is None
    assert document.get("spec", "run").lines() == [(6, "first"), (8, "second")]


def test_plain_values_are_converted_and_quoted_ones_are_not():
    (document,) = read("a: 1\nb: '1'\nc: true\nd: ~\ne: 1.5\nf: text\non: [x]\n").documents
    assert document.plain() == {"a": 1, "b": "1", "c": True, "d": None, "e": 1.5, "f": "text", "on": ["x"]}


def test_an_alias_shares_its_node_and_a_merge_key_fills_in():
    (document,) = read("base: &b {image: x, tag: 1}\nown:\n  <<: *b\n  tag: 2\n").documents
    assert document.get("own").plain() == {"image": "x", "tag": 2}


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("a: [1, 2\nb: 3\n", 2),
        ("a: 1\n\tb: 2\n", 2),
        ("a: *nothing\n", 1),
        ("a: &x [*x]\n", 1),
        ("x: " + "[" * (MAX_DEPTH + 5) + "]" * (MAX_DEPTH + 5), 1),
    ],
)
def test_what_cannot_be_read_is_a_problem_with_its_line(text, line):
    problem = read(text).problem
    assert problem is not None
    assert problem[0] == line


def test_a_bomb_of_aliases_is_refused_before_it_goes_off():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12)]
    found = read("\n".join(lines))
    assert found.problem is not None
    assert "aliases" in found.problem[1]


def test_documents_before_a_mistake_are_kept():
    found = read("a: 1\n---\nb: [\n")
    assert [d.plain() for d in found.documents] == [{"a": 1}]
    assert found.problem is not None


@settings(max_examples=200)
@given(st.text(alphabet=st.sampled_from("ab:-[]{}&*!|>#'\"\n \t,%@`?<0"), max_size=60))
def test_no_text_makes_the_reader_fail(text):
    found = read(text)
    for document in found.documents:
        document.plain()
        assert all(node.line >= 1 and node.line_end >= node.line for _, node in document.walk())


def test_helm_templates_are_filled_in_from_the_values_at_the_same_lines(tmp_path):
    repo = write(
        tmp_path,
        {
            "chart/Chart.yaml": "apiVersion: v1\nname: api\n",
            "chart/values.yaml": "image:\n  repository: ghcr.io/x/api\n  tag: latest\nresources: {}\nreplicas: 2\n",
            "chart/templates/deployment.yaml": """\
                apiVersion: apps/v1
                kind: Deployment
                metadata:
                  name: {{ include "api.fullname" . }}
                spec:
                  {{- if not .Values.autoscaling }}
                  replicas: {{ .Values.replicas }}
                  {{- end }}
                  template:
                    spec:
                      containers:
                        - name: api
                          image: "{{ .Values.image.repository }}:{{ .Values.image.tag }}"
                          resources:
                            {{- toYaml .Values.resources | nindent 12 }}
                """,
        },
    )
    (found,) = repo.kubernetes
    (container,) = found.containers
    assert found.templated
    assert found.replicas.integer() == 2
    assert (container.image.text, container.image.line) == ("ghcr.io/x/api:latest", 13)
    assert (container.image_site.path, container.image_site.line) == ("chart/values.yaml", 3)
    assert container.node.get("resources").plain() == {}


def test_other_templates_are_unknown_and_broken_yaml_is_a_problem(tmp_path):
    repo = write(tmp_path, {"t.yaml": "a: {{ x }}\n  - b\n", "b.yaml": "a: [\n", "Dockerfile": "FORM python\n"})
    assert {site.path for site, _ in repo.parse_problems} == {"b.yaml", "Dockerfile"}


def test_a_very_large_file_is_data_and_no_problem(tmp_path):
    repo = write(tmp_path, {"data.yaml": "- [a\n" * 300_000})
    assert repo.parse_problems == []
