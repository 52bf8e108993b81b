"""`command`: real child processes that answer, fail, stall, flood and leave children behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import time
from pathlib import Path

import psutil
import pytest

from ml_engineer.delegation.desk import Desk
from ml_engineer.delegation.transports.command import Command
from ml_engineer.report.schema import Handoff, HandoffState, PeerReply
from tests.delegation.conftest import GOOD, desk, handoff

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="process groups are POSIX")


def python(code: str) -> Command:
    return Command((sys.executable, "-c", code))


def ask(code: str, tmp_path: Path, timeout: float = 20.0) -> Handoff:
    return hand(desk({"data-scientist": python(code)}, root=tmp_path, timeout=timeout))


def hand(one: Desk) -> Handoff:
    return asyncio.run(one.hand(handoff(), ("ml-engineer",)))


def reply_of(done: Handoff) -> PeerReply:
    assert done.reply is not None
    return done.reply


def test_prompt_and_brief_come_in_and_the_reply_goes_out(tmp_path: Path) -> None:
    code = (
        "import sys, os, json; t = sys.stdin.read()\n"
        "said = ['You are a data scientist' in t, 'Which split?' in t, '`train.py:3`' in t, os.getcwd(),\n"
        "        os.environ['ML_ENGINEER_CHAIN'], os.environ['ML_ENGINEER_HANDOFF']]\n"
        "print('Here it is.', json.dumps({'answer': json.dumps(said)}), sep='\\n```json\\n', end='\\n```\\n')\n"
    )
    done = ask(code, tmp_path)
    assert done.state is HandoffState.ANSWERED, done.reply
    said = json.loads(reply_of(done).answer)
    assert said == [True, True, True, str(tmp_path), "ml-engineer,data-scientist", done.id]


def test_a_program_that_reads_nothing_may_answer(tmp_path: Path) -> None:
    assert ask(f"print({GOOD!r})", tmp_path).state is HandoffState.ANSWERED


@pytest.mark.parametrize(
    ("code", "says"),
    [
        (f"import sys; print({GOOD!r}); sys.exit(3)", "ended with exit code 3"),
        ("import sys; sys.exit('no key for the model')", "it said: no key for the model"),
        (f"import os; print({GOOD!r}, flush=True); os.kill(os.getpid(), 9)", "was killed by signal 9"),
        ("print('All fine, nothing to do.')", "no fenced json block"),
        ("", "the reply is empty"),
    ],
)
def test_a_fault_is_never_an_answer(code: str, says: str, tmp_path: Path) -> None:
    done = ask(code, tmp_path)
    assert done.state is HandoffState.FAILED
    assert says in str(reply_of(done).error)
    assert reply_of(done).answer == ""


def test_a_program_that_is_not_there_costs_nothing_and_is_not_tried_again(tmp_path: Path) -> None:
    started = time.monotonic()
    done = hand(desk({"data-scientist": Command(("/nonexistent/agent",))}, root=tmp_path))
    assert "cannot be started: No such file" in str(reply_of(done).error)
    assert reply_of(done).usage.cost_usd == 0
    assert time.monotonic() - started < 0.5


def test_fifty_megabytes_are_cut_off_and_the_program_is_killed(tmp_path: Path) -> None:
    code = (
        "import sys, os; open('pid', 'w').write(str(os.getpid()))\n"
        "for _ in range(50): sys.stdout.write('x' * 1_000_000)\n"
        "sys.stdout.flush(); import time; time.sleep(60)\n"
    )
    done = ask(code, tmp_path)
    assert "larger than 1,000,000 bytes" in str(reply_of(done).error)
    assert not psutil.pid_exists(int((tmp_path / "pid").read_text()))


def test_fifty_megabytes_of_errors_harm_nobody(tmp_path: Path) -> None:
    code = f"import sys; sys.stderr.write('e' * 50_000_000); print({GOOD!r})"
    assert ask(code, tmp_path).state is HandoffState.ANSWERED


def test_out_of_time_the_whole_group_is_killed(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys, time, signal\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        "open('pid', 'w').write(str(child.pid)); time.sleep(60)\n"
    )
    started = time.monotonic()
    done = ask(code, tmp_path, timeout=1.0)
    assert reply_of(done).error == "no reply within 1 s; the peer was stopped"
    assert time.monotonic() - started < 10
    assert gone(int((tmp_path / "pid").read_text()))


def test_a_child_that_is_left_behind_does_not_hold_the_reply(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'])\n"
        f"open('pid', 'w').write(str(child.pid)); print({GOOD!r})\n"
    )
    done = ask(code, tmp_path)
    assert done.state is HandoffState.FAILED
    assert "holds its output open" in str(reply_of(done).error)
    assert gone(int((tmp_path / "pid").read_text()))


def test_cancelling_the_hand_off_kills_the_program(tmp_path: Path) -> None:
    one = desk({"data-scientist": python("import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)")},
               root=tmp_path)  # fmt: skip

    async def cancel() -> None:
        task = asyncio.ensure_future(one.hand(handoff(), ("ml-engineer",)))
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            await asyncio.sleep(0.02)
        task.cancel()
        await asyncio.wait({task})
        assert task.cancelled()

    asyncio.run(cancel())
    assert gone(int((tmp_path / "pid").read_text()))


@pytest.mark.skipif(sys.platform != "linux", reason="the kernel's help is Linux's")
def test_the_program_dies_with_us(tmp_path: Path) -> None:
    ours = (
        "import asyncio, sys; from pathlib import Path\n"
        "from ml_engineer.delegation.transports.command import Command\n"
        "from tests.delegation.conftest import desk, handoff\n"
        "code = \"import os, time; open('pid', 'w').write(str(os.getpid())); time.sleep(60)\"\n"
        "one = desk({'data-scientist': Command((sys.executable, '-c', code))}, root=Path(sys.argv[1]), timeout=60)\n"
        "asyncio.run(one.hand(handoff(), ('ml-engineer',)))\n"
    )
    root = Path(__file__).resolve().parents[2]
    process = psutil.Popen(
        [sys.executable, "-c", ours, str(tmp_path)], cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
    deadline = time.monotonic() + 60
    while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.02)
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert gone(int((tmp_path / "pid").read_text()))


def gone(pid: int) -> bool:
    """Whether the process ends within a moment, a zombie that init has not collected yet included."""
    for _ in range(200):
        try:
            if psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
                return True
        except psutil.NoSuchProcess:
            return True
        time.sleep(0.02)
    return False
