"""The process of one engine: a few steps by the clock, and the most memory it ever had."""

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from engines.setting import Setting, Step

AT_LEAST_S = 12.0
"""By the clock, so that fast engines take as long as slow ones; tiny sizes are not measured."""


@dataclass(frozen=True)
class Prepared:
    """An engine that is ready to train.

    Attributes:
        step: Called once to warm up (what compiles, compiles then) and then by the clock.
        details: Whatever else the engine wants to be reported.
    """

    step: Step
    details: dict[str, Any] = field(default_factory=dict)


def serve(prepare: Callable[..., Prepared], *flags: str) -> None:
    """Read a setting from the command line, measure, print one line of JSON.

    Args:
        prepare: Called with the setting, and with each flag as a keyword argument.
        flags: Names of the engine's switches, off unless given.
    """
    parser = argparse.ArgumentParser()
    parser.add_argument("--network", required=True)
    for name in ("size", "width", "batch"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--steps", type=int, default=2)
    for flag in flags:
        parser.add_argument(f"--{flag.replace('_', '-')}", action="store_true")
    args = parser.parse_args()
    setting = Setting(args.network, args.size, args.width, args.batch)
    prepared = prepare(setting, **{flag: getattr(args, flag) for flag in flags})
    losses = [prepared.step()]
    times_s: list[float] = []
    while len(times_s) < args.steps or sum(times_s) < AT_LEAST_S * (args.size > 64):
        started = time.perf_counter()
        losses.append(prepared.step())
        times_s.append(time.perf_counter() - started)
    report({"times_s": times_s, "losses": losses, **prepared.details})


def report(found: dict[str, Any]) -> None:
    """Print one line of JSON, with the process's peak memory, as the last of the output."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    scale = 1 if sys.platform == "darwin" else 1024
    print(json.dumps({"peak_bytes": peak * scale, **found}), flush=True)
