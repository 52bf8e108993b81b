"""Commands that are known to only read: what read-only mode runs, and what no mode asks about.

    reads_only(command) -> bool

The list is of programs whose every option is harmless, and of programs with the options (or operands) that are not.
An unknown program, an unknown option where options matter, or an argument that only the shell knows in such a place
means False. Sources: the programs' own manuals.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from ml_engineer.tools.shell_grammar import Command

# Whatever the arguments, these write nothing and start nothing.
_HARMLESS = frozenset(
    "cat head tail wc ls pwd echo true false basename dirname realpath readlink stat du df nproc whoami id groups "
    "cut tr nl tac rev comm paste join column expand unexpand fold fmt od hexdump strings md5sum sha1sum sha256sum "
    "sha224sum sha384sum sha512sum b2sum cksum cmp diff seq grep egrep fgrep zgrep zcat uname arch free uptime lscpu "
    "lsblk ps printenv which type sleep cd : jq tty getconf locale sum size nm".split()
)
# Variables that choose a language, a device or a number of threads, never a program.
_HARMLESS_VARIABLES = re.compile(
    r"LC_\w+|LANG|LANGUAGE|TZ|NO_COLOR|CI|COLUMNS|CUDA_VISIBLE_DEVICES|OMP_NUM_THREADS|MKL_NUM_THREADS|"
    r"OPENBLAS_NUM_THREADS|PYTHONDONTWRITEBYTECODE|PYTHONHASHSEED|PYTHONUNBUFFERED|TOKENIZERS_PARALLELISM|"
    r"HF_HUB_OFFLINE|TF_CPP_MIN_LOG_LEVEL|[a-z_][a-z0-9_]*"
)
_SYSTEM_FOLDERS = ("/bin", "/usr/bin", "/usr/local/bin", "/sbin", "/usr/sbin")


def reads_only(command: Command) -> bool:
    """True when `command` can only read, with all its arguments known as far as they matter."""
    if command.privileged or not all(harmless_variable(name) for name in command.assignments):
        return False
    if not command.words:
        return True  # assignments of harmless variables, and redirections, which are judged as files
    if command.name is None or not trusted_program(command.words[0].text or ""):
        return False
    if command.name in _HARMLESS:
        return True
    check = _CHECKED.get(command.name)
    if check is None or command.open_ended:
        return False
    arguments = command.texts[1:]
    known = [text for text in arguments if text is not None]
    return len(known) == len(arguments) and check(known)


def harmless_variable(name: str) -> bool:
    """Lower-case names are a script's own; of the others only those known to choose no program."""
    return _HARMLESS_VARIABLES.fullmatch(name) is not None


def trusted_program(text: str) -> bool:
    """A bare name, or one in the system's own folders: `./git` may be anything."""
    folder, slash, _ = text.rpartition("/")
    return not slash or folder in _SYSTEM_FOLDERS


def _without(*flags: str, letters: str = "") -> Callable[[Sequence[str]], bool]:
    """No argument is one of `flags` (`--flag=value` and abbreviations too), nor a short option in `letters`."""

    def check(arguments: Sequence[str]) -> bool:
        for argument in arguments:
            option = argument.partition("=")[0]
            if argument.startswith("--") and len(option) > 2 and any(flag.startswith(option) for flag in flags):
                return False
            if argument in flags:
                return False
            if letters and re.match(rf"-[A-Za-z0-9]*[{letters}]", argument) and not argument.startswith("--"):
                return False
        return True

    return check


def _find(arguments: Sequence[str]) -> bool:
    # -exec and its like are allowed here: what they run is a command of its own in the script and is judged there.
    return not any(re.fullmatch(r"-(delete|fls|fprint\w*|ok|okdir)", argument) for argument in arguments)


def _operands(most: int, *, valued: str = "") -> Callable[[Sequence[str]], bool]:
    """At most `most` operands: a further one would be a file to write. `valued` are short options that take a value."""

    def check(arguments: Sequence[str]) -> bool:
        operands, skip = 0, False
        for argument in arguments:
            if skip:
                skip = False
            elif argument.startswith("-") and argument != "-":
                skip = len(argument) == 2 and argument[1] in valued
            else:
                operands += 1
        return operands <= most

    return check


def _sed(arguments: Sequence[str]) -> bool:
    """Only `sed -n` with line ranges or patterns to print: sed's own language can write files and run programs."""
    script = [argument for argument in arguments if not argument.startswith("-")][:1]
    flags = [argument for argument in arguments if argument.startswith("-")]
    printing = r"(\d+|\$)?(,(\d+|\$|\+\d+))?p(;(\d+|\$)?(,(\d+|\$|\+\d+))?p)*|\d+q|/[\w .^$*\[\]-]+/p"
    if script and all(flag in ("-n", "-E", "-r", "-nE", "-nr") for flag in flags):
        return re.fullmatch(printing, script[0]) is not None
    return False


def _awk(arguments: Sequence[str]) -> bool:
    """Programs without redirection, pipes, system() or further program files."""
    options = [argument for argument in arguments if argument.startswith("-")]
    if not all(re.fullmatch(r"-F.*|-v", option) for option in options):
        return False
    return not any(re.search(r"system|getline|[|>@]|ARGV|ENVIRON", argument) for argument in arguments)


def _test(arguments: Sequence[str]) -> bool:
    return not any("$(" in argument or "`" in argument for argument in arguments)  # bash evaluates array subscripts


def _printf(arguments: Sequence[str]) -> bool:
    return not any(argument.startswith("-v") for argument in arguments)


def _nothing(arguments: Sequence[str]) -> bool:
    return not arguments


def _version(arguments: Sequence[str]) -> bool:
    return len(arguments) == 1 and arguments[0] in ("--version", "-V", "--help")


# --- git --------------------------------------------------------------------------------------------------------------

_GIT_WRITING = ("--output", "--ext-diff", "--textconv", "--filters", "--open-files-in-pager", "--exec", "--upload-pack")
_GIT_READING = frozenset(
    "status log diff show rev-parse ls-files ls-tree shortlog describe grep rev-list merge-base name-rev for-each-ref "
    "count-objects check-ignore check-attr show-ref diff-tree diff-index diff-files blame annotate cat-file "
    "whatchanged version cherry range-diff show-branch".split()
)
_GIT_LISTING: dict[str, str] = {  # sub-commands that read only in these forms
    "branch": r"(-a|-r|-v|-vv|--all|--remotes|--list|--show-current|--verbose|--merged|--no-merged| )*",
    "tag": r"(-l|--list|-n\d*| )*( [\w*.?-]+)?",
    "remote": r"(-v|--verbose)?|get-url [\w.-]+",
    "stash": r"(list|show)( (-p|--stat|stash@\{\d+\}))*",
    "worktree": r"list( --porcelain)?",
    "reflog": r"(show( [\w@{}/.-]+)?)?",
    "submodule": r"status( --recursive)?",
    "config": r"(--local |--global )?(--list|-l|--get [\w.-]+|--get-all [\w.-]+|list|get [\w.-]+)",
    "symbolic-ref": r"(--short )?HEAD",
    "lfs": r"(ls-files|status|env)",
    "bundle": r"(list-heads|verify) [\w./-]+",
}


def _git(arguments: Sequence[str]) -> bool:
    """Sub-commands that read, without the options that write files or start programs. No global option but --no-pager:
    `-c`, `--exec-path` and `--git-dir` can all make git run something."""
    rest = list(arguments)
    while rest and rest[0] in ("--no-pager", "--no-optional-locks", "--literal-pathspecs"):
        rest.pop(0)
    if not rest:
        return False
    sub, arguments = rest[0], rest[1:]
    if sub == "--version":
        return True
    if sub in _GIT_READING:
        letters = "O" if sub == "grep" else ""
        return _without(*_GIT_WRITING, letters=letters)(arguments)
    form = _GIT_LISTING.get(sub)
    return form is not None and re.fullmatch(form, " ".join(arguments)) is not None


_CHECKED: dict[str, Callable[[Sequence[str]], bool]] = {
    "[": _test,
    "awk": _awk,
    "base64": _without(),
    "command": lambda arguments: bool(arguments) and arguments[0] in ("-v", "-V"),
    "date": _without("--set", letters="s"),
    "env": _nothing,
    "fd": _without("--exec", "--exec-batch", letters="xX"),
    "file": _without("--compile", "-C", letters="C"),
    "find": _find,
    "git": _git,
    "hostname": _nothing,
    "nvidia-smi": lambda arguments: all(re.match(r"-L$|-q$|--query-\w+(-\w+)*=|--format=", a) for a in arguments),
    "pip": lambda arguments: list(arguments[:1]) in (["list"], ["show"], ["freeze"], ["check"], ["--version"]),
    "printf": _printf,
    "python": _version,
    "python3": _version,
    "read": lambda arguments: all(re.fullmatch(r"-r|[a-z_]+", argument) for argument in arguments),
    "rg": _without("--pre", "--hostname-bin", "--search-zip", letters="z"),
    "sed": _sed,
    "sort": _without("--output", "--compress-program", "--temporary-directory", letters="oT"),
    "test": _test,
    "tree": _without("--output", letters="oR"),
    "uniq": _operands(1, valued="fsw"),
    "yes": _without(),
}
