"""The rules' metadata as a file, so that listing them costs no import of 160 modules.

`assessment/data/rules.json` is made from the rules by `python -m ml_engineer.assessment.rules_index`; a test keeps the
two equal. Only the engine itself, which needs the rules' functions, imports them.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

INDEX = Path(__file__).resolve().parent / "data" / "rules.json"


@dataclass(frozen=True, slots=True)
class RuleInfo:
    """What a rule says of itself.

    A row of the catalogue that asks several questions has a rule for each: they share the id, `part` tells them apart.
    """

    id: str
    name: str
    step: int
    severity: str
    title: str
    why: str
    remedy: str
    source: str
    peers: tuple[str, ...]
    part: str

    @property
    def key(self) -> str:
        """The id, and behind a slash the part where there is one: unique."""
        return f"{self.id}/{self.part}" if self.part else self.id


def load() -> list[RuleInfo]:
    """Every rule, by id and part."""
    return [RuleInfo(**{**entry, "peers": tuple(entry["peers"])}) for entry in json.loads(INDEX.read_bytes())]


def text() -> str:
    """What the file must hold: the metadata of the rules as they are."""
    from ml_engineer.assessment.rule import all_rules

    fields = RuleInfo.__slots__
    entries = [{name: getattr(rule, name) for name in fields} for rule in all_rules()]
    return json.dumps(entries, indent=1, ensure_ascii=False) + "\n"


def main() -> None:
    INDEX.parent.mkdir(exist_ok=True)
    INDEX.write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main()
