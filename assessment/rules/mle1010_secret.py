"""M10-10: secrets in the repository. The secret itself is never shown: a quote ends where its value begins."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING

from ml_engineer.assessment.files import BINARY_SUFFIXES
from ml_engineer.assessment.rule import CRITICAL, HIGH, MEDIUM, Hit, Site, rule

if TYPE_CHECKING:
    from ml_engineer.assessment.files import File
    from ml_engineer.assessment.repo import Repo

MAX_BYTES = 1_000_000
MAX_LINE = 4_000
_MIN_ENTROPY = 3.0  # bits for each character, of a value that only its name makes suspicious

# Shapes that are a key by themselves. Group 1 is the secret.
_SHAPES = (
    ("AWS access key", r"\b((?:AKIA|ASIA)[0-9A-Z]{16})\b"),
    ("GitHub token", r"\b(gh[pousr]_[A-Za-z0-9]{36,}|github_pat_[A-Za-z0-9_]{60,})\b"),
    ("Hugging Face token", r"\b(hf_[A-Za-z]{34})\b"),
    ("Anthropic key", r"\b(sk-ant-[A-Za-z0-9_-]{32,})"),
    ("OpenAI key", r"\b(sk-(?:proj-)?[A-Za-z0-9_-]{32,})"),
    ("Slack token", r"\b(xox[abpr]-[0-9A-Za-z-]{20,})"),
    ("Google API key", r"\b(AIza[0-9A-Za-z_-]{35})\b"),
    ("Google client secret", r"\b(GOCSPX-[0-9A-Za-z_-]{28})"),
    ("GitLab token", r"\b(glpat-[0-9A-Za-z_-]{20,})"),
    ("private key", r"-----BEGIN ((?:RSA |EC |DSA |OPENSSH |ENCRYPTED )?PRIVATE KEY-----)"),
    (
        "key in an address",
        r"[?&](?:api_?key|app_?id|access_?token|auth_?token|subscription-key)=(?=[\w-]*\d)([0-9A-Za-z_-]{20,})",
    ),
    ("Azure storage key", r"AccountKey=([A-Za-z0-9+/]{86}==)"),
    (
        "password in a connection string",
        (
            r"\b(?:postgres(?:ql)?|mysql|mongodb(?:\+srv)?|redis|amqp)(?:\+\w+)?://[^\s:/@'\"]*:([^\s@'\"/]{4,})@"
            r"(?!localhost|127\.0\.0\.1|0\.0\.0\.0|host\b)"
        ),
    ),
)
_SHAPE_PATTERNS = tuple((name, re.compile(pattern, re.I if "address" in name else 0)) for name, pattern in _SHAPES)
_ANY_SHAPE = re.compile("|".join(pattern for _, pattern in _SHAPES))
# A cheap look at lower-case bytes: lines without a cue hold no secret that the patterns above and below would find.
# Each cue starts with the word it is kept under: a file without the word is not searched for it.
_WORDS = (
    b"passw pwd secret apikey api_key accesskey access_key token privatekey private_key accountkey account_key "
    b"connectionstring connection_string _key_id credential fernet"
).split()
_ASSIGNED = rb"[\w.-]*[\"']?\]?\s*(?::\s*str\s*)?[:=]\s*[\"']"
_CUES = {
    **{word: re.compile(word + _ASSIGNED) for word in _WORDS},
    **{
        word: re.compile(word)
        for word in b"akia github_pat_ xox aiza gocspx- glpat- accountkey= ghp_ gho_ ghu_ ghs_ ghr_".split()
    },
    b"asia": re.compile(rb"asia[0-9a-z]{16}"),
    b"hf_": re.compile(rb"hf_[a-z]{9}"),
    b"sk-": re.compile(rb"sk-[a-z0-9]"),
    b"private key-": re.compile(rb"private key-"),
    b"key=": re.compile(rb"key=[0-9a-z_-]{20}"),
    b"token=": re.compile(rb"token=[0-9a-z_-]{20}"),
    b"id=": re.compile(rb"id=[0-9a-z_-]{20}"),
    b"://": re.compile(rb"://[^\s:/@'\"]*:[^\s@'\"/]+@"),
}
_ENV_CUES = {**_CUES, **{word: re.compile(word + rb"(?:" + _ASSIGNED + rb"|\w*[= ])") for word in _WORDS}}
_NAMED = re.compile(
    r"(?P<name>[\w.-]*(?:passw(?:or)?d|passwd|\bpwd|secret(?:_?key)?|api_?key|access_?key|auth_?token|access_?token|private_?key|"
    r"client_?secret|account_?key|[_-]token|^token|_key_id|credentials?))[\"']?\]?\s*(?::\s*str\s*)?[:=]\s*"
    r"(?P<quote>[\"'])(?P<value>[^\"'\n]{6,200})(?P=quote)",
    re.I,
)
_ENV_LINE = re.compile(
    r"^\s*(?:export\s+|ENV\s+|ARG\s+)?(?P<name>\w*(?:PASSWORD|PASSWD|SECRET|API_?KEY|ACCESS_KEY|TOKEN|PRIVATE_KEY)\w*)"
    r"[= ](?P<value>[^\s\"'#]{8,200}|\"[^\"]{8,200}\"|'[^']{8,200}')\s*$"
)
_INI_LINE = re.compile(
    r"^\s*(?P<name>[\w.]*(?:password|secret(?:_key)?|fernet_key|api_?key|access_key|token|private_key))\s*[:=]\s*"
    r"(?P<value>[^\s\"'#;]{16,200})\s*$",
    re.I,
)
_PLACEHOLDER = re.compile(
    r"example|sample|dummy|placeholder|change_?me|replace|your|xxx|\*\*\*|\.\.\.|<[^>]*>|^\$\w|\$\{|\{\{|\{[\w.]*\}|"
    r"%\(|%s|todo|fake|test|insert|redacted|secret_?key$|os\.environ|getenv|environ|secrets\.|"
    r"^(none|null|true|false|pass|pwd|tiger|admin|user|password|passwd|secret|string|token|root|guest|postgres|mysql|mlflow|minio\w*|"
    r"airflow|changeit|123456\w*|abc\w*|foo\w*|bar\w*)$|^(https?|file|arn|projects|/|\./)|_token$|password$|api[_-]?key$",
    re.I,
)
_MADE_UP = re.compile(r"@example\.(com|org|net)\b|\bj(ohn|ane)[_ .-]?doe\b", re.I)
_EXPLAINED = re.compile(
    r"\s*(#|//|\*)[^`]*`[\s\w.]*\w\s*[:=]|\s*(#|//|;|\*)\s*(for\s+)?(example\b|e\.g\.)", re.I
)  # Markdown in a comment, or an example
_NO_SECRET_NAME = re.compile(
    r"(path|file|name|url|uri|header|prefix|field|length|type|policy)s?$|^postman-token$", re.I
)
_IGNORED_SUFFIXES = frozenset(
    ".po .mo .lock .svg .csv .tsv .ipynb_checkpoints .map .min.js .css .html .jsonl .txt".split()
)
_SHOWN = re.compile(r"[._-](example|sample|template|dist)\b", re.I)
# The key by which a web framework signs its sessions: as text of a program it is known to all who read that.
_SIGNS = re.compile(r"(^|[._-])(secret_?key|app\.secret)$", re.I)
_SIGNING = re.compile(
    r"^\s*(?:\w+\.secret_key|SECRET_KEY|\w+\.config\[[\"']SECRET_KEY[\"']\])\s*=\s*[\"']([^\"']+)[\"']"
)
_WEB = re.compile(rb"\bflask\b|INSTALLED_APPS", re.I)
_SETTING = re.compile(r"^\s*(?:export\s+)?[\"']?(\w+)[\"']?\s*[=:]\s*\S+")
_MAY_BE_SECRET = re.compile(
    r"pass|pwd|secret|token|key|cred|auth|dsn|ur[il]\b|ur[il]_|ur[il]$|conn|user|account|webhook|salt|sid$", re.I
)
_PUBLIC = re.compile(r"(VITE|REACT_APP|VUE_APP|(NEXT|NUXT|EXPO)_PUBLIC|PUBLIC)_")  # sent to every browser by the build
# The bare address of a host of the own network: `mongodb://mongo:27017/`, `http://localhost:8000`.
_NEIGHBOUR = re.compile(r"[=:]\s*[\"']?\w+://(localhost|[\w-]+|127\.0\.0\.1|0\.0\.0\.0)(:\d+)?(/[\w/-]*)?[\"']?\s*$")
_ENV_FILE = re.compile(r"(^|/)\.env(\.(?!example|sample|template|dist|test)[\w.-]+)?$|(^|/)kaggle\.json$")


@rule(
    id="MLE1010",
    name="secret",
    step=10,
    severity=CRITICAL,
    title="A secret is in the repository",
    why="Whoever can read the repository, or any copy of its history, can use it.",
    remedy="Revoke it now, then read it from the environment or a secret store; taking it out of git is not enough.",
    source="detect-secrets; bandit B105",
    peers=("devops-engineer",),
)
def check(repo: Repo) -> Iterator[Hit]:
    for file in repo.files.values():
        if file.roles & {"vendored", "template", "test"} or file.tracked is False or file.size > MAX_BYTES:
            continue
        if file.suffix in BINARY_SUFFIXES or file.suffix in _IGNORED_SUFFIXES or file.name.endswith(".min.js"):
            continue
        with file.borrowed():
            found = list(_in_file(repo, file))
            weak = [] if found else list(_weak_keys(file))
        if found:
            what = found[0][0]
            shown = what if len(found) == 1 else f"{what} and {len(found) - 1} more"
            sites = [s for _, s in found]
            yield Hit(
                sites,
                severity=HIGH if all(_SIGNS.search(name) for name, _ in found) else CRITICAL,
                title=f"A secret is in the repository ({shown})",
                anchor=f"secret {file.path}",
            )
        elif weak:
            yield Hit(
                weak,
                severity=MEDIUM,
                title="The key that signs sessions is written in the code",
                why="Whoever knows the key, or guesses it, can make sessions and tokens of any user.",
                anchor=f"session key {file.path}",
            )
        elif _ENV_FILE.search(file.path) and file.tracked and _assigns(file):
            yield Hit(
                [Site(file.path, 1, 1, "", None, file.path)],
                severity=HIGH if any(map(_is_ones_own, _values(file))) and not _is_copied(repo, file) else MEDIUM,
                title=f"{file.name} is tracked by git",
                anchor=f"env {file.path}",
            )


def _is_copied(repo: Repo, file: File) -> bool:
    """Whether the reader is to copy the file to `.env` first, and fill in what is his own: `cp .env.local .env`."""
    asked = re.compile(rf"\bcp\s+(\S+/)?{re.escape(file.name)}\s+(\S+/)?\.env(\s|$)", re.M)
    return any(asked.search(readme.text) for readme in repo.glob("README*"))


def _in_file(repo: Repo, file: File) -> Iterator[tuple[str, Site]]:
    if file.suffix == ".ipynb":
        module = repo.by_path.get(file.path)
        if module is None or not _suspects(file.data.replace(b'\\"', b'"'), _CUES):
            return
        lines = module.source.lines
        for number in _suspects("\n".join(lines).encode(), _CUES):
            for what, start in _secrets(lines[number - 1], env=False):
                yield what, _masked(module.source.site(number), start)
        return
    env = file.name.startswith(".env") or file.suffix in (".env", ".sh", ".tfvars") or "ockerfile" in file.name
    ini = file.suffix in (".cfg", ".ini", ".conf", ".properties")
    numbers = _suspects(file.data, _ENV_CUES if env or ini else _CUES)
    if not numbers:
        return
    manifest = {s.file.path for s in repo.compose} | {o.file.path for o in repo.kubernetes}  # M9-08 judges their fields
    # documents, comments that show how a line is written, and lines about people of an example domain hold made-up ones
    shown = file.path in manifest or "docs" in file.roles
    example = _SHOWN.search(file.name) is not None
    for number in numbers:
        line = file.lines[number - 1]
        plain = shown or _MADE_UP.search(line) is not None or _EXPLAINED.match(line) is not None
        for what, start in _secrets(line, env, not plain, example, ini) if len(line) <= MAX_LINE else ():
            yield what, _masked(file.site(number), start, line)


def _weak_keys(file: File) -> Iterator[Site]:
    """Lines that give Flask or Django a key too short or too plain to be told from any other text."""
    if file.suffix != ".py" or file.roles or (b"secret_key" not in file.data and b"SECRET_KEY" not in file.data):
        return
    if _WEB.search(file.data):
        for number, match in file.find(_SIGNING):
            yield _masked(file.site(number), match.start(1), match.string)


def _suspects(data: bytes, cues: Mapping[bytes, re.Pattern[bytes]]) -> list[int]:
    """Numbers of the lines on which a cue ends. Lines end as `split_lines` has them end."""
    lowered = data.lower()
    if b"\r" in lowered:
        lowered = lowered.replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    ends = sorted(match.end() - 1 for word, cue in cues.items() if word in lowered for match in cue.finditer(lowered))
    numbers: list[int] = []
    number, position = 1, 0
    for end in ends:
        number += lowered.count(b"\n", position, end)
        position = end
        if not numbers or numbers[-1] != number:
            numbers.append(number)
    return numbers


def _masked(site: Site, start: int, line: str | None = None) -> Site:
    """The site with its quote cut before the secret."""
    text = site.quote if line is None else line
    return Site(site.path, site.line, site.line, text[:start], site.cell, text[:start].strip())


def _secrets(
    line: str, env: bool, named: bool = True, example: bool = False, ini: bool = False
) -> Iterator[tuple[str, int]]:
    """What kind of secret a line holds, and the column where it begins. At most one for a line.

    Passwords of an example of settings are made up; what looks like a key there was copied from the real ones.
    """
    if _ANY_SHAPE.search(line):
        for name, pattern in _SHAPE_PATTERNS:
            match = pattern.search(line)
            if match and name == "private key" and _PLACEHOLDER.search(line[match.end() : match.end() + 60]):
                continue  # `-----BEGIN PRIVATE KEY-----\nyour_key` of a template
            if match and not _is_placeholder(match[1]) and (named or "password" not in name):
                yield name, match.start(1)
                return
    if not named:
        return
    bare = _ENV_LINE if env else _INI_LINE if ini else None  # values that stand there without quotes
    for match in [_NAMED.search(line), bare.match(line) if bare is not None else None]:
        if match is not None and _is_secret(match["name"], match["value"].strip("\"'"), example):
            yield match["name"].strip("-.").lower(), match.start("value")
            return


def _is_secret(name: str, value: str, example: bool = False) -> bool:
    if _is_placeholder(value) or re.search(r"\s", value.strip()) or _NO_SECRET_NAME.search(name):
        return False
    if re.search(r"\.(json|ya?ml|toml|ini|pem|crt|cer|key|p12|txt|env)$", value, re.I):
        return False  # the file that holds it
    password = re.search(r"passw|pwd", name, re.I)
    if password and not example:
        return (len(value) >= 6 and not value.isalpha()) or len(value) >= 10
    if re.search(r"[(),;]", value):
        return False  # the code between two texts
    mixed = sum(bool(re.search(kind, value)) for kind in ("[a-z]", "[A-Z]", r"\d"))
    return (
        len(value) >= 16 and mixed >= 2 and _entropy(value) >= _MIN_ENTROPY and not re.fullmatch(r"[a-z_.-]+\d?", value)
    )


def _is_placeholder(value: str) -> bool:
    return _PLACEHOLDER.search(value) is not None or len(set(value)) < 4


def _entropy(value: str) -> float:
    counts = Counter(value)
    return -sum(n / len(value) * math.log2(n / len(value)) for n in counts.values())


def _assigns(file: File) -> bool:
    """Whether the file gives a value to a name that may be a secret's, not ports, folders and neighbours' addresses."""
    return any(True for _ in _values(file))


def _values(file: File) -> Iterator[str]:
    """What the file gives such names."""
    for line in file.lines:
        match = _SETTING.match(line)
        if match and not _NEIGHBOUR.search(line) and _MAY_BE_SECRET.search(match[1]) and not _PUBLIC.match(match[1]):
            yield re.split("[=:]", line, maxsplit=1)[1].strip(" \"',")


def _is_ones_own(value: str) -> bool:
    """Whether a value is no default that everybody knows: `postgres`, or `db://airflow:airflow@postgres/airflow`."""
    login = re.match(r"[\w+]+://[^:/@]*:([^@/]*)@[\w-]+(:\d+)?(/|$)", value)
    return not _is_placeholder(login[1] if login else value)
