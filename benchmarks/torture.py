"""Kill runs, flip bits and fill the disk; then go on, and compare with an undisturbed run.

    python benchmarks/torture.py [--kills 60] [--flips 200] [--markdown PAGE]

Each trial starts from a copy of a run of tiny cells that is done, half done or not begun, is
disturbed once, and goes on by the same command until it ends well, with what a sentence says to
delete deleted. Counted are runs that do not end well (lost), end with other figures although the
damage was named (different) or without a word (silent), processes that live 10 s after their
driver (orphaned), and temporary files that are there in the end (left over).
"""

import argparse
import json
import os
import platform
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

if __name__ == "__main__":  # importing this file changes nothing
    from vesica import train

    train.CHECKPOINT_EVERY_S = 0.0

NETWORK = Path(__file__).parents[1] / "tests" / "tiny.py"
COMMAND = (
    f"compare generated:num=40:size=64 --model {NETWORK}:tiny:dropout=0.25 --size 64 "
    "--losses bce,iou --seeds 1 --epochs 5 --batch 6 --lr 1e-3"
)
NUM_STEPS = 5 * 6
"""Of a cell: 33 images in batches of 6, for 5 epochs."""

VOLATILE = re.compile(r"time|command|created|version|device|speed|folder|path|note|advice")
DRAFT = re.compile(r"\..+\.[a-z0-9_]{8}(\.[^.]+)?|.*\.draft|checkpoint.*")
ADVICE = re.compile(r"(\S+): damaged .*?; delete (\S+) and ", re.DOTALL)
END_S = 10.0
MAX_TRIES = 4


@dataclass
class Count:
    """What became of the trials of one kind."""

    trials: int = 0
    lost: int = 0
    different: int = 0
    silent: int = 0
    orphaned: int = 0
    left_over: int = 0
    details: list[str] = field(default_factory=list)


class Child:
    """`vesica` in a forked process, the leader of a session of its own."""

    def __init__(self, run: Path, num_jobs: int, disturb: Callable[[], None] = lambda: None):
        reading, writing = os.pipe()
        self.pid = os.fork()
        if self.pid == 0:
            os.close(reading)
            os.dup2(writing, 1)
            os.dup2(writing, 2)
            _be_vesica(run, num_jobs, disturb)
        os.close(writing)
        self.output = os.fdopen(reading, errors="replace")

    def members(self) -> list[int]:
        """The processes of its session that have not ended, itself first."""
        found = []
        for path in Path("/proc").glob("[0-9]*"):
            try:
                state, _, _, session, *_ = (path / "stat").read_text().rpartition(")")[2].split()
            except (OSError, ValueError):
                continue
            if int(session) == self.pid and state != "Z":
                found.append(int(path.name))
        return sorted(found)

    def workers(self) -> list[int]:
        """Those that train."""
        return [pid for pid in self.members() if b"spawn_main" in _command_of(pid)]

    def has_ended(self) -> bool:
        """Whether it has, without waiting."""
        return Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"

    def wait(self) -> tuple[int, str]:
        """Its exit code and all that it printed."""
        text = self.output.read()
        self.output.close()
        return os.waitstatus_to_exitcode(os.waitpid(self.pid, 0)[1]), text


def _be_vesica(run: Path, num_jobs: int, disturb: Callable[[], None]) -> None:
    from vesica.__main__ import main

    code = 1
    try:
        os.setsid()
        sys.argv = ["vesica", *COMMAND.split(), "--jobs", str(num_jobs), "--out", str(run / "run")]
        sys.argv += ["--cache", str(run / "cache")]
        disturb()
        main()
        code = 0
    except SystemExit as error:
        code = error.code if isinstance(error.code, int) else int(error.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _command_of(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def outcome(trial: Path) -> dict[str, Any]:
    """All figures of a run that is done: bit for bit, without times and versions."""
    from safetensors.numpy import load_file

    found: dict[str, Any] = {}
    for folder in sorted((trial / "run" / "cells").iterdir()):
        found[f"{folder.name}/scores.csv"] = (folder / "scores.csv").read_text()
        rows = (folder / "history.csv").read_text().splitlines()
        found[f"{folder.name}/history.csv"] = [row.rpartition(",")[0] for row in rows]
        for name, tensor in load_file(folder / "model.safetensors").items():
            found[f"{folder.name}/{name}"] = tensor.tobytes()
    results = json.loads((trial / "run" / "results.json").read_text())
    return found | dict(_flatten("results", results))


def _flatten(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if VOLATILE.search(name):
        return
    if isinstance(value, dict):
        for key, part in value.items():
            yield from _flatten(f"{name}.{key}", part)
    elif isinstance(value, list):
        for place, part in enumerate(value):
            yield from _flatten(f"{name}.{place}", part)
    else:
        yield name, value


@dataclass
class Torture:
    """The trials and what they begin with.

    Attributes:
        folder: For everything; on one file system.
        expected: The figures of the undisturbed run.
    """

    folder: Path
    rng: random.Random
    counts: dict[str, Count] = field(default_factory=dict)
    expected: dict[str, Any] = field(default_factory=dict)
    duration_s: float = 0.0

    def prepare(self) -> None:
        """Run it undisturbed, one after the other and side by side; and half of it."""
        for name, num_jobs in (("done", 1), ("beside", 2)):
            started = time.monotonic()
            code, text = Child(self.folder / name, num_jobs).wait()
            assert code == 0, text
            self.duration_s = self.duration_s or time.monotonic() - started
        self.expected = outcome(self.folder / "done")
        assert outcome(self.folder / "beside") == self.expected
        code, text = Child(self.folder / "half", 1, end_in_the_second_cell).wait()
        assert code == -signal.SIGKILL, text

    @contextmanager
    def trial(self, kind: str, start: str | None) -> Iterator[tuple[Path, Count]]:
        """A copy of a run, and where to count what becomes of it."""
        count = self.counts.setdefault(kind, Count())
        count.trials += 1
        print(f"{sum(c.trials for c in self.counts.values())}: {kind}", file=sys.stderr, flush=True)
        with tempfile.TemporaryDirectory(dir=self.folder) as name:
            if start is not None:
                shutil.copytree(self.folder / start, name, dirs_exist_ok=True)
            yield Path(name), count

    def go_on(self, trial: Path, count: Count, was_named: bool = False) -> None:
        """Run the command until it ends well, doing what its sentences say; count what is wrong."""
        for _ in range(MAX_TRIES):
            code, text = Child(trial, 1).wait()
            if code == 0:
                break
            was_named = True
            if advice := ADVICE.search(text):
                _delete(Path(advice[1] if advice[2] == "it" else advice[2]))
        else:
            count.lost += 1
            count.details.append(f"lost: {text[-600:]}")
            return
        was_named |= "damaged" in " ".join(text.split())
        found = outcome(trial)
        if wrong := [key for key in self.expected if found.get(key) != self.expected[key]]:
            if was_named:
                count.different += 1
            else:
                count.silent += 1
            count.details.append(f"other: {wrong[:5]}")
        paths = [path for path in trial.rglob("*") if DRAFT.fullmatch(path.name)]
        if paths:
            count.left_over += 1
            count.details.append(f"left over: {paths}")

    def kill(self, kind: str) -> None:
        """Kill the driver or a worker, early or at any time, and go on at once or later."""
        who, when = kind.split(", ")
        start = self.rng.choice([None, "half"])
        with self.trial(f"kill -9 of the {kind}", start) as (trial, count):
            child = Child(trial, 1 if who == "only process" else 2)
            if who != "only process":
                while not child.has_ended() and len(child.workers()) < 2:
                    time.sleep(0.005)
            time.sleep(self.rng.uniform(0, 1 if when == "early" else 2 * self.duration_s))
            victims = child.workers() if who == "worker" else [child.pid]
            for pid in victims[:1]:
                if not child.has_ended():
                    os.kill(pid, signal.SIGKILL)
            until = time.monotonic() + END_S
            if who == "driver" and self.rng.random() < 0.5:
                self.go_on(trial, count)  # while its processes may still write
            while child.members() and time.monotonic() < until:
                time.sleep(0.02)
            if left := child.members():
                count.orphaned += 1
                count.details.append(f"orphaned: {[_command_of(pid) for pid in left]}")
                for pid in left:
                    os.kill(pid, signal.SIGKILL)
            _, text = child.wait()
            if "Traceback" in text or "leaked" in text:
                count.lost += 1
                count.details.append(f"said: {text[-1500:]}")
            self.go_on(trial, count)

    def flip(self, start: str, path: str) -> None:
        """Flip one bit of a file that the run or the cache keeps."""
        kind = re.sub(r"[0-9a-f]{12,}", "KEY", path)
        with self.trial(f"one bit of {kind}", start) as (trial, count):
            data = bytearray((trial / path).read_bytes())
            bit = self.rng.randrange(8 * len(data))
            data[bit // 8] ^= 1 << bit % 8
            (trial / path).write_bytes(data)
            self.go_on(trial, count)

    def fill_disk(self, kind: str, disturb: Callable[[], None], start: str | None) -> None:
        """Let the disk be full; the command says so and ends with 2, and then there is room."""
        with self.trial(f"disk full at {kind}", start) as (trial, count):
            code, text = Child(trial, 1, disturb).wait()
            if code == 2 and "cannot be written" in text and "Traceback" not in text:
                self.go_on(trial, count, was_named=True)
            else:
                count.lost += 1
                count.details.append(f"code {code}: {text[-1500:]}")


def _delete(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def kept_files(folder: Path) -> dict[str, list[str]]:
    """What a run and its cache keep, by kind."""
    kinds: dict[str, list[str]] = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file() and path.name != "lock" and not path.name.startswith("."):
            name = str(path.relative_to(folder))
            kinds.setdefault(re.sub(r"[0-9a-f]{12,}", "KEY", name), []).append(name)
    return kinds


def end_in_the_second_cell() -> None:
    """Let a process kill itself where one cell is done and the other has two checkpoints."""
    save, num_steps = train.save_checkpoint, iter(range(NUM_STEPS * 3 // 2))

    def save_and_end(*args: Any) -> None:
        save(*args)
        if next(num_steps, None) is None:
            os.kill(os.getpid(), signal.SIGKILL)

    train.save_checkpoint = save_and_end  # type: ignore[assignment]  # takes what it is given


def no_room_for(name: str) -> Callable[[], None]:
    """What makes every writing of a file of this name fail, as on a full disk."""

    def disturb() -> None:
        from vesica import cache
        from vesica.files import drafts

        sync, write_at = drafts.sync, cache._write_at

        def fail(path: Path) -> None:
            if path.name.startswith(f".{name}.") or path.name == name:
                os.truncate(path, path.stat().st_size // 2)
                raise OSError(28, os.strerror(28), str(path))
            sync(path)

        def fail_at(path: Path, offset: int, data: bytes) -> None:
            write_at(path, offset, data[: len(data) // 2] if path.name == name else data)
            if path.name == name:
                raise OSError(28, os.strerror(28), str(path))

        drafts.sync, cache._write_at = fail, fail_at

    return disturb


def no_file_above(num_bytes: int) -> Callable[[], None]:
    """A limit of the system's on the size of every file."""

    def disturb() -> None:
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (num_bytes, num_bytes))

    return disturb


KILLS = (
    "only process, early",
    "only process, late",
    "driver, early",
    "driver, late",
    "worker, early",
    "worker, late",
)


def torture(num_kills: int, num_flips: int, seed: int, is_short: bool) -> dict[str, Count]:
    """Every trial, in turn."""
    with tempfile.TemporaryDirectory(prefix="torture-") as name:
        run = Torture(Path(name).resolve(), random.Random(seed))
        run.prepare()
        kills = KILLS[:2] if is_short else KILLS
        for number in range(num_kills):
            run.kill(kills[number % len(kills)])
        files = [("half", part) for part in kept_files(run.folder / "half").values()]
        files += [("done", part) for part in kept_files(run.folder / "done").values()]
        if is_short:
            run.rng.shuffle(files)
        for number in range(num_flips):
            start, paths = files[number % len(files)]
            run.flip(start, run.rng.choice(paths))
        from vesica.checkpoint import one_before

        names = {Path(paths[0]).name for _, paths in files} - {
            "sums.json",
            one_before(Path("checkpoint.safetensors")).name,
        }
        for name in sorted(names)[: 2 if is_short else None]:
            run.fill_disk(name, no_room_for(name), None)
        for num_bytes in (1500, 20_000) if is_short else (300, 1000, 3000, 10_000, 30_000, 100_000):
            run.fill_disk(f"{num_bytes} bytes", no_file_above(num_bytes), None)
        return run.counts


NOTE = """
Workers do not import the parent's main script. While they did, and it had PyTorch at its top and
three times as many processes as cores, they lived 17 to 25 s after a kill, until they had imported
it, and then ended.
"""
"""What the table does not show."""

COLUMNS = ("trials", "lost", "different", "silent", "orphaned", "left_over")


def to_markdown(counts: dict[str, Count], command: str) -> str:
    """The page: a table with a row for each kind of trial."""
    from vesica.provenance import versions

    total = Count(**{name: sum(getattr(c, name) for c in counts.values()) for name in COLUMNS})
    rows = [*sorted(counts.items()), ("**all**", total)]
    lines = [
        f"| {kind} | {' | '.join(str(getattr(count, name)) for name in COLUMNS)} |"
        for kind, count in rows
    ]
    head = " | ".join(name.replace("_", " ") for name in COLUMNS)
    known = ", ".join(f"{name} {version}" for name, version in versions().items())
    return "\n".join(
        [
            "# Torture",
            "",
            " ".join((__doc__ or "").split("\n\n")[2].split()),
            "",
            f"| | {head} |",
            f"|---|{'---:|' * len(COLUMNS)}",
            *lines,
            "",
            f"Command: `{command}` on {platform.system()} {platform.machine()}; {known}.",
            "",
            " ".join(NOTE.split()),
            "",
        ]
    )


def main() -> None:
    """Torture, print the table, and say by the exit code whether all is zero."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--kills", type=int, default=60)
    parser.add_argument("--flips", type=int, default=200)
    parser.add_argument("--seed", type=int, default=random.randrange(10**6))
    parser.add_argument("--short", action="store_true")
    parser.add_argument("--markdown", type=Path)
    args = parser.parse_args()
    counts = torture(args.kills, args.flips, args.seed, args.short)
    given = f"--kills {args.kills} --flips {args.flips} --seed {args.seed}"
    page = to_markdown(counts, f"python benchmarks/torture.py {given}")
    print(page)
    for kind, count in counts.items():
        for detail in count.details:
            print(f"{kind}: {detail}\n", file=sys.stderr)
    if args.markdown:
        args.markdown.parent.mkdir(parents=True, exist_ok=True)
        args.markdown.write_text(page, encoding="utf-8")
    bad = [f.name for f in fields(Count) if f.name in COLUMNS[1:]]
    sys.exit(any(getattr(count, name) for count in counts.values() for name in bad))


if __name__ == "__main__":
    main()
