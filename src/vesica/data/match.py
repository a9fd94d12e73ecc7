"""A user's regular expression on names, in a process of its own that ends with its time.

Python's expressions can take longer than the universe lasts, and no thread of a process can be
ended from within it. `match_names` runs this file as a script.
"""

import contextlib
import json
import re
import subprocess
import sys
from collections.abc import Sequence

MAX_CPU_S = 2
MAX_WALL_S = 60
MAX_BYTES = 2**31
MAX_LENGTH = 1000


def match_names(expression: str, names: Sequence[str]) -> list[str | None]:
    """For each name the expression's first capturing group, or else its whole match.

    Raises:
        ValueError: If it is no regular expression, or takes too long.
    """
    if len(expression) > MAX_LENGTH:
        raise ValueError(f"{len(expression):,} characters; an expression has at most {MAX_LENGTH}")
    given = json.dumps({"expression": expression, "names": names, "cpu_s": MAX_CPU_S})
    too_long = f"takes longer than {MAX_CPU_S} s; repeat nothing that is itself repeated"
    try:
        done = subprocess.run(
            [sys.executable, "-I", "-S", __file__],
            input=given,
            capture_output=True,
            text=True,
            timeout=MAX_WALL_S,
            check=False,
        )
    except subprocess.TimeoutExpired:
        raise ValueError(too_long) from None
    if done.returncode:  # below 0 it was ended, above it never began
        said = done.stderr.strip().rpartition("\n")[2]
        raise ValueError(too_long if done.returncode < 0 else f"cannot be tried ({said})")
    answer = json.loads(done.stdout)
    if isinstance(answer, str):
        raise ValueError(answer)
    return list(answer)


def _limit(cpu_s: int) -> None:
    if sys.platform != "win32":
        import resource  # where there is no such module, the wall clock alone ends it

        for what, amount in ((resource.RLIMIT_CPU, cpu_s), (resource.RLIMIT_AS, MAX_BYTES)):
            with contextlib.suppress(OSError, ValueError):
                resource.setrlimit(what, (amount, amount))


def _match(expression: str, names: Sequence[str]) -> list[str | None] | str:
    """The matches, or what is wrong with the expression."""
    try:
        pattern = re.compile(expression)
        matches = [pattern.search(name) for name in names]
    except RecursionError:
        return "no regular expression (too deep)"
    except MemoryError:
        return "takes too much memory; repeat nothing that is itself repeated"
    except (re.error, OverflowError) as error:
        return f"no regular expression ({error})"
    return [match and match[1 if pattern.groups else 0] for match in matches]


if __name__ == "__main__":
    given = json.load(sys.stdin)
    _limit(given["cpu_s"])
    json.dump(_match(given["expression"], given["names"]), sys.stdout)
