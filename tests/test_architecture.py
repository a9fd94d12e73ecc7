"""Imports point one way, and what needs no torch does not load it."""

import ast
import subprocess
import sys
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

import vesica

ROOT = Path(vesica.__file__).parent

ORDER = [
    "errors",
    "files",
    "locks",
    "own",
    "spelling",
    "words",
    "shapes",
    "accel",
    "losses",
    "metrics",
    "statistics",
    "networks",
    "cache",
    "data",
    "plan",
    "recipes",
    "earlier",
    "features",
    "checkpoint",
    "evaluate",
    "optim",
    "average",
    "train",
    "provenance",
    "results",
    "naming",
    "entry",
    "materials",
    "cell",
    "pool",
    "sweep",
    "estimate",
    "remarks",
    "check",
    "judge",
    "plans",
    "report",
    "paper",
    "loggers",
    "progress",
    "run",
    "until",
    "api",
    "model",
    "predict",
    "export",
    "cli",
    "__main__",
]
"""Files and folders of the package: each imports only from those above it."""


def module_name(path: Path) -> str:
    parts = path.relative_to(ROOT.parent).with_suffix("").parts
    return ".".join(part for part in parts if part != "__init__")


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def imports_of(module: str) -> set[str]:
    """Modules of the package that a module imports anywhere, also within functions."""
    if module == "vesica":  # its names are loaded when they are first asked for
        return set()
    found: set[str] = set()
    for node in ast.walk(ast.parse(MODULES[module].read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{module}: a relative import in line {node.lineno}"
            for alias in node.names:
                longer = f"{node.module}.{alias.name}"
                found.add(longer if longer in MODULES else node.module or "")
    return found & set(MODULES)


def place(module: str) -> str:
    """The file or folder of the package that a module lies in; `vesica` is the package itself."""
    return module.split(".")[1] if "." in module else module


def reached(module: str) -> set[str]:
    """Everything that a module imports, directly or not."""
    found: set[str] = set()
    waiting = [module]
    while waiting:
        new = imports_of(waiting.pop()) - found
        found |= new
        waiting += new
    return found


def test_imports_are_found() -> None:
    assert {"vesica.losses.sums", "vesica.shapes"} <= imports_of("vesica.losses.region")
    assert {"vesica.metrics", "vesica.features"} <= imports_of("vesica.evaluate")
    assert "vesica.plans" in imports_of("vesica.cli.run")  # within a function
    assert "vesica.shapes" in reached("vesica.losses")


def test_order_names_every_file_once() -> None:
    assert sorted(ORDER) == sorted({place(module) for module in MODULES} - {"vesica"})


@pytest.mark.parametrize("module", MODULES)
def test_imports_only_from_above(module: str) -> None:
    if module == "vesica":
        return
    here = ORDER.index(place(module))
    others = {place(found) for found in imports_of(module)} - {"vesica", place(module)}
    assert others <= set(ORDER[:here])


def test_no_two_modules_import_each_other() -> None:
    TopologicalSorter({module: imports_of(module) for module in MODULES}).prepare()


@pytest.mark.parametrize(
    "module",
    [
        "vesica.metrics",
        "vesica.statistics",
        "vesica.paper.what_holds",
        "vesica.judge",
    ],
)
def test_judge_shares_no_code_with_the_judged(module: str) -> None:
    assert not {found for found in reached(module) if place(found) in ("losses", "train")}


def test_what_is_only_faster_stands_alone() -> None:
    for module in MODULES:
        faster = {found for found in imports_of(module) if place(found) == "accel"}
        if place(module) == "accel":
            outside = imports_of(module) - faster
            assert outside <= {"vesica.shapes", "vesica.errors"}, module
        else:  # by the table alone: nothing else names its files
            assert faster <= {"vesica.accel"}, module


def test_only_its_command_imports_the_paper() -> None:
    importing = {m for m in MODULES if any(place(found) == "paper" for found in imports_of(m))}
    assert {module for module in importing if place(module) != "paper"} == {"vesica.cli.paper"}


def test_no_drawer_for_odds_and_ends() -> None:
    drawers = {"utils", "util", "helpers", "common", "misc", "tools"}
    assert not {path.name for path in ROOT.rglob("*") if path.stem in drawers}


@pytest.mark.parametrize(
    "code",
    [
        "import vesica.data, vesica.data.arrays, vesica.data.library, vesica.data.synthetic",
        "import vesica.plan, vesica.results, vesica.statistics, vesica.judge, vesica.report",
        "from vesica.__main__ import app; app(['--help'], standalone_mode=False)",
        "from vesica.__main__ import app; app(['cache'], standalone_mode=False)",
        "from vesica.__main__ import app; app(['paper', '--published'], standalone_mode=False)",
        "from vesica.__main__ import app; app(['formats'], standalone_mode=False)",
        "import vesica, vesica.model.onnx, vesica.predict; vesica.load",
    ],
    ids=["data", "compare", "help", "cache", "paper", "formats", "predict"],
)
def test_needs_no_torch(code: str) -> None:
    check = (
        "import sys; print('loaded:', [m for m in ('torch', 'torchvision') if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", f"{code}\n{check}"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "loaded: []"
