"""Jobs in child processes: what a child does or suffers reaches nobody else."""

from __future__ import annotations

import asyncio
import json
import mmap
import os
import signal
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ml_engineer.interfaces.jobs import review_meta
from ml_engineer.interfaces.options import Refusal
from ml_engineer.interfaces.pool import JobError, JobFault, Pool

Given = dict[str, Any]
DEADLINE = 60.0


def fine(given: Given, send: Any) -> Given:
    send({"type": "working", "pid": os.getpid()})
    sys.stdout.write("this is no part of anybody's protocol\n")
    return {"twice": given["number"] * 2}


def crash(given: Given, send: Any) -> Given:
    os.kill(os.getpid(), signal.SIGSEGV)
    return {}


def fail(given: Given, send: Any) -> Given:
    raise ValueError("no such thing")


def refuse(given: Given, send: Any) -> Given:
    raise Refusal("do it otherwise")


def hang(given: Given, send: Any) -> Given:
    """With a child of its own, which has to go with it."""
    child = subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    send({"type": "hanging", "pids": [os.getpid(), child.pid]})
    while True:
        time.sleep(1)


def gobble(given: Given, send: Any) -> Given:
    return {"size": len(bytearray(1 << 33))}


def alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


async def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + DEADLINE
    while not condition():
        assert time.monotonic() < deadline, "it never came true"
        await asyncio.sleep(0.02)


def drive(work: Callable[[Pool], Awaitable[Any]], **limits: Any) -> Any:
    async def main() -> Any:
        async with Pool(2, **limits) as pool:
            return await work(pool)

    return asyncio.run(main())


def test_a_job_gives_its_result_and_its_events(capfd: pytest.CaptureFixture[str]) -> None:
    events: list[Given] = []
    done = drive(lambda pool: pool.run(fine, {"number": 21}, events.append))
    assert done == {"twice": 42}
    assert [event["type"] for event in events] == ["working"]
    assert events[0]["pid"] != os.getpid()
    assert "protocol" not in capfd.readouterr().out


@pytest.mark.parametrize(
    ("work", "limits", "fault", "words"),
    [
        (crash, {}, JobFault.CRASHED, "SIGSEGV"),
        (fail, {}, JobFault.CRASHED, "ValueError: no such thing"),
        (refuse, {}, JobFault.REFUSED, "do it otherwise"),
        (hang, {"seconds": 1.0}, JobFault.TIMEOUT, "1 seconds"),
        (gobble, {"memory": 1 << 32}, JobFault.MEMORY, "4096 MB"),
    ],
)
def test_what_befalls_a_child_is_named_and_the_pool_works_on(
    work: Any, limits: Given, fault: JobFault, words: str
) -> None:
    async def both(pool: Pool) -> Any:
        with pytest.raises(JobError, match=words) as raised:
            await pool.run(work, {})
        assert raised.value.kind is fault
        pool.seconds = None
        return await Pool.run(pool, fine, {"number": 1})

    assert drive(both, **limits) == {"twice": 2}


def test_a_cancelled_job_is_gone_with_all_it_started_and_its_turn_is_free() -> None:
    async def cancel(pool: Pool) -> None:
        events: list[Given] = []
        tasks = [asyncio.create_task(pool.run(hang, {}, events.append)) for _ in range(3)]
        await until(lambda: len(events) == 2)  # the third waits for its turn
        for task in tasks:
            task.cancel()
        assert all(
            isinstance(one, asyncio.CancelledError) for one in await asyncio.gather(*tasks, return_exceptions=True)
        )
        await until(lambda: not any(alive(pid) for event in events for pid in event["pids"]))
        assert await pool.run(fine, {"number": 2}) == {"twice": 4}

    drive(cancel)


def test_a_job_dies_with_the_process_that_waits_for_it() -> None:
    script = (
        "import asyncio, json\nfrom tests.interfaces.test_pool import hang\n"
        "from ml_engineer.interfaces.pool import Pool\n"
        "async def main():\n    async with Pool() as pool:\n"
        "        await pool.run(hang, {}, lambda event: print(json.dumps(event['pids']), flush=True))\n"
        "if __name__ == '__main__':\n    asyncio.run(main())\n"
    )
    root = Path(__file__).parents[2]
    waiting = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True, cwd=root)
    try:
        assert waiting.stdout is not None
        job, child = json.loads(waiting.stdout.readline())
        waiting.kill()
        asyncio.run(until(lambda: not alive(job)))
        os.kill(child, signal.SIGKILL)  # nobody is left to kill the group
    finally:
        waiting.kill()
        waiting.communicate(timeout=DEADLINE)


def test_a_review_in_a_child_is_the_review(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "train.py").write_text("import torch\nmodel = torch.load('m.pt')\n")
    events: list[Given] = []
    done = drive(lambda pool: pool.review(review_meta(tmp_path, offline=True), events.append))
    report = json.loads(done.report)
    assert report["run"]["id"] == done.run_id
    assert report["findings"]
    assert next(event["node"] for event in events if event["type"] == "node") == "survey"
    assert done.folder is not None and (done.folder / "report.json").is_file()


def whoami(given: Given, send: Any) -> Given:
    return {"pid": os.getpid()}


def litter(given: Given, send: Any) -> Given:
    """Leave a process behind."""
    subprocess.Popen(["sleep", "600"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return {"pid": os.getpid()}


HOARD: list[mmap.mmap] = []


def room(size: int) -> mmap.mmap:
    """Memory that counts, though nobody touches it."""
    return mmap.mmap(-1, size, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)


def hoard(given: Given, send: Any) -> Given:
    HOARD.append(room(given["bytes"]))
    return {"pid": os.getpid()}


async def pids(pool: Pool, *jobs: tuple[Any, Given]) -> list[int]:
    return [(await pool.run(work, given))["pid"] for work, given in jobs]


def test_a_child_does_as_many_jobs_as_it_may_and_is_gone_with_the_pool() -> None:
    async def work(pool: Pool) -> list[int]:
        return await pids(pool, *[(whoami, {})] * 5)

    one, two, three, four, five = drive(work, jobs=2)
    assert one == two != three == four != five
    assert not any(alive(pid) for pid in (one, three, five))


@pytest.mark.parametrize("work", [fail, crash, refuse])
def test_a_child_that_failed_gets_no_other_job(work: Any) -> None:
    async def before_and_after(pool: Pool) -> list[int]:
        (before,) = await pids(pool, (whoami, {}))
        with pytest.raises(JobError):
            await pool.run(work, {})
        return [before, *await pids(pool, (whoami, {}))]

    before, after = drive(before_and_after, jobs=9)
    assert before != after
    assert not alive(before)


@pytest.mark.parametrize("left", [(litter, {}), (hoard, {"bytes": 200 << 20})])
def test_a_child_in_which_a_job_left_something_gets_no_other(left: tuple[Any, Given]) -> None:
    first, second = drive(lambda pool: pids(pool, left, (whoami, {})), jobs=9)
    assert first != second


def test_a_child_that_was_killed_while_it_waited_costs_no_job() -> None:
    async def kill(pool: Pool) -> list[int]:
        (first,) = await pids(pool, (whoami, {}))
        os.kill(first, signal.SIGKILL)
        await until(lambda: not alive(first))
        return [first, *await pids(pool, (whoami, {}))]

    first, second = drive(kill, jobs=9)
    assert first != second


def test_what_others_left_behind_is_not_counted_against_a_job() -> None:
    """What fits into the limit for the first fits for the next."""

    async def work(pool: Pool) -> list[int]:
        return await pids(pool, (fill, {}), (hoard, {"bytes": 40 << 20}), (fill, {}))

    assert len(set(drive(work, jobs=9, memory=1 << 30))) == 1


def fill(given: Given, send: Any) -> Given:
    """Take all of a limit of 1 GB but for 16 MB, beside what the process has and the hoard."""
    has = int(Path("/proc/self/statm").read_text().split()[5]) * mmap.PAGESIZE - sum(map(len, HOARD))
    with room((1 << 30) - has - (16 << 20)):
        return {"pid": os.getpid()}
