"""Rails: what is refused or asked for in every mode, whatever the rules say. Decided by form, never by a model.

    rails(script, workspace, folders) -> list[Rail]      # behaviour "deny" or "ask", with the reason

Denied: writing to raw disks and making file systems, deleting the root, the home folder or the workspace itself,
turning the machine off. Asked: running what was just fetched, deleting many files at once beyond the workspace or by a
pattern that only the shell knows, throwing history or uncommitted work away, publishing, and becoming another user.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from ml_engineer.tools import shell_wrappers
from ml_engineer.tools.shell_grammar import Command, Script, Word

_FETCHERS = frozenset("curl wget fetch aria2c http https xh lynx".split())
_INTERPRETERS = frozenset("python python2 python3 perl ruby node php lua Rscript source . eval".split()) | {
    *shell_wrappers.SHELLS
}
_DISK_TOOLS = re.compile(
    r"mkfs(\.\w+)?|wipefs|fdisk|sfdisk|cfdisk|parted|sgdisk|blkdiscard|hdparm|mkswap|cryptsetup|shred"
)
_POWER = frozenset("shutdown reboot halt poweroff init telinit".split())
_RAW_DEVICE = re.compile(r"/dev/(sd|hd|vd|xvd|nvme|mmcblk|disk|dm-|md|loop|mapper/|mem$|kmem$|port$)")


@dataclass(frozen=True)
class Rail:
    behaviour: Literal["deny", "ask"]
    reason: str


def rails(script: Script, workspace: Path, folders: Sequence[Path]) -> list[Rail]:
    """All rails that `script` runs into; `folders` are those in which its commands may find themselves."""
    found = _fetch_to_run(script)
    for command in script.commands:
        found += [rail for rail in (check(command) for check in _CHECKS) if rail is not None]
        found += [rail for folder in folders if (rail := _mass_delete(command, workspace, folder)) is not None]
    return found


def _fetch_to_run(script: Script) -> list[Rail]:
    """A download and something that runs it: by pipe, by substitution, or by the file's name."""
    fetched = [command for command in script.commands if command.name in _FETCHERS]
    if not fetched:
        return []
    files = {Path(text).name for command in fetched for text in _written(command)}
    for command in script.commands:
        if not command.words or command in fetched:
            continue
        runs_input = command.name in _INTERPRETERS and _program_is_unseen(command)
        names = {Path(text).name for text in command.texts if text}
        touched = command.name in _INTERPRETERS or command.name == "chmod" or "/" in (command.texts[0] or "")
        if runs_input or (touched and names & files):
            return [Rail("ask", f"`{command.source}` would run what was just fetched")]
    return []


def _program_is_unseen(command: Command) -> bool:
    """The interpreter's program comes from standard input or from an expansion."""
    arguments = command.texts[1:]
    if any(text is None for text in arguments):
        return True
    if command.name in shell_wrappers.SHELLS and "-s" in arguments:
        return True
    return all(
        text is not None and (text == "-" or (text.startswith("-") and text not in ("-c", "-m", "-e")))
        for text in arguments
    )


def _written(command: Command) -> list[str]:
    """Where a download is put: by option, by redirection, or under the address's last part."""
    texts = [text or "" for text in command.texts]
    found = [redirect.target.text or "" for redirect in command.redirects if redirect.writes]
    for i, text in enumerate(texts):
        if text in ("-o", "-O", "--output", "--output-document") and i + 1 < len(texts):
            found.append(texts[i + 1])
        elif text.startswith(("--output=", "--output-document=")):
            found.append(text.partition("=")[2])
        elif "://" in text or "." in text:
            found.append(text)
    return [text for text in found if Path(text).name]


def _raw_disk(command: Command) -> Rail | None:
    if command.name and _DISK_TOOLS.fullmatch(command.name):
        return Rail("deny", f"`{command.name}` works on whole disks or destroys data for good")
    targets = [redirect.target.text or "" for redirect in command.redirects if redirect.writes]
    if command.name in ("dd", "tee", "cp", "cat", "mv"):
        targets += [(text or "").removeprefix("of=") for text in command.texts[1:]]
    device = next((target for target in targets if _RAW_DEVICE.match(target)), None)
    return Rail("deny", f"`{device}` is a raw device") if device else None


def _power(command: Command) -> Rail | None:
    if command.name in _POWER or (command.name == "systemctl" and {"poweroff", "reboot", "halt"} & {*command.texts}):
        return Rail("deny", f"`{command.name}` turns the machine off")
    if command.name in ("kill", "pkill", "killall") and "-1" in command.texts[2:]:
        return Rail("deny", "it would end every process of the user")
    return None


def _mass_delete(command: Command, workspace: Path, folder: Path) -> Rail | None:
    """`rm -r` and its like. Inside the workspace it is an ordinary command; the checkpoint can bring files back."""
    texts = command.texts
    flags = [text for text in texts[1:] if text and text.startswith("-")]
    if command.name == "find" and "-delete" in texts:
        return Rail("ask", "`find -delete` deletes many files at once")
    recursive = command.name == "rm" and any(re.match(r"-[a-zA-Z]*[rR]|--recursive", flag) for flag in flags)
    sweeping = command.name in ("chmod", "chown", "chgrp") and any(
        re.match(r"-[a-zA-Z]*R|--recursive", flag) for flag in flags
    )
    if not (recursive or sweeping):
        return None
    if command.open_ended:
        return Rail("ask", f"`{command.name}` of files that are not named in the command")
    for word in command.words[1:]:
        if word.text and word.text.startswith("-"):
            continue
        rail = _target(word, command.name or "", workspace, folder)
        if rail is not None:
            return rail
    return None


def _target(word: Word, name: str, workspace: Path, folder: Path) -> Rail | None:
    if word.text is None:
        home = re.fullmatch(r'"?\$\{?(HOME|PWD|OLDPWD)\}?"?(/\*?)?', word.source)
        if home:
            return Rail("deny", f"`{word.source}` is a whole home or working folder")
        return Rail("ask", f"`{name}` of `{word.source}`, which only the shell knows")
    bare = re.sub(r"/+(\*|\.\*|\{,\.\[!\.\]\*\})?$", "", word.text) or "/"
    if bare in ("*", ".*"):
        bare = "."
    place = Path(os.path.normpath(folder / Path(bare).expanduser()))  # not resolved: rm deletes links, not targets
    vital = {Path("/"), Path.home(), *Path.home().parents, *workspace.parents, workspace}
    if place in vital or (place.parent == Path("/") and place != Path("/tmp")):
        return Rail("deny", f"`{word.source}` is the workspace, a home folder or a part of the system")
    if not place.is_relative_to(workspace):
        return Rail("ask", f"`{name}` of `{word.source}`, outside the workspace")
    return None


def _throws_away(command: Command) -> Rail | None:
    """Git commands that lose work or reach other people."""
    if command.name != "git":
        return None
    texts = [text or "" for text in command.texts[1:]]
    sub = next((text for text in texts if not text.startswith("-")), "")
    losing = (
        (sub == "reset" and "--hard" in texts)
        or (sub == "clean" and any(re.match(r"-\w*f|--force", text) for text in texts))
        or (sub in ("checkout", "restore") and ("." in texts or "--force" in texts or "-f" in texts))
        or (sub == "branch" and "-D" in texts)
        or (sub == "stash" and ("drop" in texts or "clear" in texts))
        or sub in ("filter-branch", "filter-repo", "update-ref", "gc", "prune")
        or (sub == "reflog" and ("expire" in texts or "delete" in texts))
    )
    if losing:
        return Rail("ask", f"`git {sub}` can lose commits or uncommitted work")
    return Rail("ask", "`git push` changes what others see") if sub in ("push", "send-email") else None


def _privileged(command: Command) -> Rail | None:
    return Rail("ask", f"`{command.source}` runs as another user") if command.privileged else None


def _publishes(command: Command) -> Rail | None:
    first = (command.name, *(text or "" for text in command.texts[1:3]))
    published = {("twine", "upload"), ("npm", "publish"), ("docker", "push"), ("uv", "publish"), ("gh", "release")}
    if first[:2] in published or first in {("kubectl", "delete"), ("terraform", "destroy"), ("terraform", "apply")}:
        return Rail("ask", f"`{first[0]} {first[1]}` changes what is outside this machine")
    return None


_CHECKS = (_raw_disk, _power, _throws_away, _privileged, _publishes)
