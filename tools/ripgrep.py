"""The search by ripgrep. It never gets a path from the model as an argument: it would follow a link there.

It runs in the workspace root and is led to the folder by ignore rules; a folder that git ignores becomes its working
directory, by descriptor; a single file comes in through standard input. No setting of the user changes the outcome.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path, PurePosixPath

from ml_engineer.tools import globs
from ml_engineer.tools.base import ToolError
from ml_engineer.tools.search import MAX_OUTPUT, TIMEOUT, Hits, Listing, Query, is_ignored
from ml_engineer.tools.workspace import Workspace

_ONLY_GITIGNORE = ("--no-require-git", "--no-ignore-parent", "--no-ignore-global", "--no-ignore-exclude")
_ALWAYS = ("--no-config", "--hidden", *_ONLY_GITIGNORE, "--no-ignore-dot", "--glob=!.git", "--no-messages", "--null")
_MODES = {
    "content": ("--no-heading", "--with-filename", "--line-number"),
    "files_with_matches": ("--files-with-matches",),
    "count": ("--count", "--with-filename"),
}


def find(program: str, workspace: Workspace, query: Query, *, is_file: bool) -> Hits:
    # In multi-line mode ripgrep counts matches, or lines, depending on the pattern: so lines are counted here.
    mode = "content" if query.multiline and query.mode == "count" else query.mode
    arguments = [program, *_ALWAYS, *_MODES[mode], "--crlf", f"--regexp={query.pattern}"]
    arguments += ["--ignore-case"] if query.ignore_case else []
    arguments += ["--multiline", "--multiline-dotall"] if query.multiline else []
    if query.mode == "content":
        arguments += [f"--before-context={query.before}", f"--after-context={query.after}"]
    if is_file:
        with workspace.open(query.path) as fd:
            output, incomplete = _run([*arguments, "-"], stdin=fd)
        return _as_asked(_parse(output, mode, lambda _: query.path), replace(query, glob=None), incomplete)
    arguments += [f"--type-add=wanted:{name}" for name in query.names] + (["--type=wanted"] if query.names else [])
    with _started_in(workspace, query.path, query.glob) as (cwd, rules, prefix):
        output, incomplete = _run([*arguments, *rules, "./"], cwd=cwd)
    hits = _parse(output, mode, lambda name: prefix + os.fsdecode(name).removeprefix("./"))
    return _as_asked(hits, query, incomplete)


def list_files(program: str, workspace: Workspace, path: str, glob: str) -> Listing:
    with _started_in(workspace, path, glob) as (cwd, rules, prefix):
        command = [program, *_ALWAYS, "--files", "--sortr=modified", *rules, "./"]
        output, incomplete = _run(command, cwd=cwd)
    names = os.fsdecode(output).removeprefix("./").removesuffix("\0").split("\0./")
    return Listing(_matching([prefix + name for name in names if name], path, glob), incomplete)


@contextlib.contextmanager
def _started_in(workspace: Workspace, path: str, glob: str | None) -> Iterator[tuple[str, list[str], str]]:
    """Working directory, the argument with the ignore rules, and what to put before the paths that come back."""
    ignored = path != "." and is_ignored(workspace, path)
    start = path if ignored else "."
    inner = "" if ignored or path == "." else path
    lines = _glob_rules(glob, inner)
    for depth, part in enumerate(PurePosixPath(inner).parts):
        above = "".join(f"/{globs.escape(name)}" for name in PurePosixPath(inner).parts[:depth])
        lines += [f"{above}/*", f"!{above}/{globs.escape(part)}"]
    with workspace.directory(start) as fd, tempfile.NamedTemporaryFile("w", suffix=".ignore") as rules:
        rules.write("\n".join([*lines, ""]))
        rules.flush()
        by_descriptor = f"/proc/self/fd/{fd}"
        fallback = start if start.startswith("/") else str(workspace.root / start)
        cwd = by_descriptor if Path(by_descriptor).exists() else fallback
        yield cwd, [f"--ignore-file={rules.name}"] if lines else [], f"{path}/" if ignored else ""


def _glob_rules(glob: str | None, inner: str) -> list[str]:
    """Ignore rules that leave only what `glob` matches (or, with "!", leave that out), below the folder `inner`.

    Not `--glob`, which would bring back what .gitignore leaves out.
    """
    if glob is None:
        return []
    excluding = glob.startswith("!")
    plain = glob.removeprefix("!").removeprefix("./") if excluding else globs.normalise(glob)
    rules = []
    for one in globs.expand_braces(plain):
        anchored = "/" in one.rstrip("/")
        place = f"/{globs.escape(inner)}/" if anchored and inner else "/" if anchored else ""
        rules.append(f"{'' if excluding else '!'}{place}{one.removeprefix('/')}")
    return rules if excluding else ["*", "!*/", *rules]


def _matching(paths: list[str], folder: str, glob: str | None) -> list[str]:
    """Those that `glob` matches: a .gitignore file that says "!name" brings back a name that was not asked for."""
    if glob is None or globs.normalise(glob) in ("**", "**/*"):
        return paths
    selected = globs.selector(glob)
    skip = 0 if folder == "." else len(folder) + 1
    return [path for path in paths if selected(path[skip:])]


def _as_asked(hits: Hits, query: Query, incomplete: str) -> Hits:
    """Sorted by path, without what the glob does not match, counted where lines were collected to be counted."""
    kept = sorted(_matching(hits.files or list(hits.counts) or list(hits.lines), query.path, query.glob))
    counts = hits.counts
    if query.mode == "count" and hits.lines:
        counts = {path: len(lines) for path, lines in hits.lines.items()}
    return Hits(
        files=kept,
        counts={path: counts[path] for path in kept if path in counts},
        lines={path: hits.lines[path] for path in kept if path in hits.lines and query.mode == "content"},
        incomplete=incomplete,
    )


def _run(arguments: list[str], *, cwd: str | None = None, stdin: int | None = None) -> tuple[bytes, str]:
    """Output of ripgrep, and why it is incomplete if it is. Raises ToolError with its message for a bad pattern."""
    expired = threading.Event()
    source = subprocess.DEVNULL if stdin is None else stdin
    pipe = subprocess.PIPE
    with subprocess.Popen(arguments, cwd=cwd, env={}, stdin=source, stdout=pipe, stderr=pipe) as process:
        assert process.stdout is not None and process.stderr is not None

        def expire() -> None:
            expired.set()
            process.kill()

        timer = threading.Timer(TIMEOUT, expire)
        try:
            timer.start()
            output = process.stdout.read(MAX_OUTPUT)
            too_much = len(output) == MAX_OUTPUT
            if too_much:
                process.kill()
                output = output[: output.rfind(b"\n") + 1] or output[: output.rfind(b"\0") + 1]
            message = process.stderr.read().decode("utf-8", "replace").strip()
        except BaseException:
            process.kill()
            raise
        finally:
            timer.cancel()
    if process.returncode == 2 and message:
        raise ToolError(_explained(message))
    if expired.is_set():
        return output, f"the search was stopped after {TIMEOUT:.0f} s"
    return output, f"results stopped at {MAX_OUTPUT:,} bytes" if too_much else ""


def _explained(message: str) -> str:
    return (
        f"The pattern is no valid regular expression. {message.removeprefix('rg: ')}\n"
        "Escape what is meant literally: \\{ \\( \\[ \\. Look-around and back-references do not exist here."
    )


def _parse(output: bytes, mode: str, path_of: Callable[[bytes], str]) -> Hits:
    hits = Hits()
    if mode == "files_with_matches":
        hits.files = [path_of(name) for name in output.split(b"\0") if name]
        return hits
    if mode == "count":
        for name, nul, count in (record.partition(b"\0") for record in output.split(b"\n")):
            if nul:
                hits.counts[path_of(name)] = int(count)
        return hits
    start, skip, append = b"\0", 0, list[bytes]().append
    for record in output.split(b"\n"):
        if not record.startswith(start):  # the lines of a file come together
            name, nul, _ = record.partition(b"\0")
            if not nul:
                continue  # a separator between groups, or a remark on a binary file
            start, skip = name + nul, len(name) + 1
            append = hits.lines.setdefault(path_of(name), []).append
        append(record[skip:])
    return hits
