"""The command line of defaults: what is said before training, a first look, a budget, and lists."""

import json
from pathlib import Path

import pytest
from test_cli import TINY, Terminal, folder, vesica  # noqa: F401 - fixtures

from vesica.data import DATA, DATASETS
from vesica.losses import LOSSES
from vesica.networks import NETWORKS
from vesica.results import read_plan

FIRST = ["--losses", "--foreground", "--group", "--quick", "--budget", "--folds", "--model"]
FIRST += ["--out", "--seeds", "--dry-run"]

NET = TINY[:2]


@pytest.fixture
def narrow(vesica: Terminal, monkeypatch: pytest.MonkeyPatch) -> Terminal:  # noqa: F811
    monkeypatch.setenv("COLUMNS", "80")
    return vesica


def test_the_options_that_matter_stand_first(narrow: Terminal) -> None:
    code, out, _ = narrow("compare", "--help")
    assert code == 0
    first = out.partition("Options")[2].partition("╰")[0]
    names = [line.split()[1] for line in first.splitlines() if line.startswith("│ --")]
    assert names == [*FIRST, "--help"]
    panels = ["The images", "The network", "The recipe", "The run"]
    assert [out.index(f"─ {panel} ─") for panel in panels] == sorted(
        out.index(f"─ {panel} ─") for panel in panels
    )
    assert max(map(len, out.splitlines())) <= 80


@pytest.mark.parametrize(
    ("command", "names"),
    [("losses", [*LOSSES]), ("models", [*NETWORKS]), ("formats", [*DATASETS, *DATA])],
)
def test_what_exists_is_listed(command: str, names: list[str], narrow: Terminal) -> None:
    code, out, err = narrow(command)
    assert (code, err) == (0, "")
    assert not [name for name in names if name not in out]
    assert max(map(len, out.splitlines())) <= 80
    assert "of your own" in out


def test_a_first_look_is_called_one_and_goes_on(vesica: Terminal, folder: Path) -> None:  # noqa: F811
    base = ["compare", folder, *NET, "--quick", "--steps", 3, "--folds", 0, "--batch", 8]
    code, out, err = vesica(*base, "--dry-run")
    assert (code, err) == (0, "")
    assert "A first look: --size 64, 3 seeds." in out
    assert "The whole comparison, without quick, takes " in out
    assert "6 cells: bce, iou with 3 seeds" in out
    assert "Results go to runs/data-quick-" in out
    code, out, _ = vesica(*base, "--out", "run")
    assert code == 0
    assert "This was a first look: leave out --quick" in out
    assert "This was a first look: leave out --quick" in Path("run/report.html").read_text()
    plan = read_plan(Path("run"))
    assert "--train 24: so many images are seen in these steps." in out
    assert plan.choices == {"division": "exact", "size": 64, "train": 24, "quick": True}
    code, out, _ = vesica(*base, "--out", "run")
    assert (code, "This was a first look" in out) == (0, True)
    assert read_plan(Path("run")).choices == plan.choices
    code, _, err = vesica("compare", folder, *NET, "--quick", "--max-seeds", 5)
    assert (code, "--quick is a first look" in err) == (2, True)


def test_a_run_keeps_its_division(vesica: Terminal, folder: Path) -> None:  # noqa: F811
    """One that was begun by an earlier version, which drew each image's part by itself."""
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1, "--out", "run"]
    assert vesica(*base, "--division", "drawn")[0] == 0
    plan = json.loads(Path("run/plan.json").read_text())
    assert [cell["data"]["division"] for cell in plan["cells"]] == [None, None]
    code, out, _ = vesica(*base)
    assert (code, "Estimated: 0 min" in out) == (0, True)
    code, _, err = vesica(*base, "--division", "exact")
    assert (code, "division was None, now exact" in err) == (2, True)
    code, _, err = vesica(*base[:-2], "--out", "run", "--folds", 5)
    assert (code, "folds was 0, now 5" in err) == (2, True)


def test_a_budget_lowers_steps_and_size(
    vesica: Terminal,  # noqa: F811
    folder: Path,  # noqa: F811
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A training of the default costs two hours here, whatever the machine."""
    monkeypatch.setattr(
        "vesica.run.Ready.hours",
        property(lambda r: 2.0 * r.cells[0].recipe.max_epochs / 134),  # of 3 steps each
    )
    base = ["compare", folder, *NET, "--folds", 0, "--dry-run"]
    code, out, _ = vesica(*base, "--budget", "3h")
    assert (code, "more than --budget" in out) == (0, False)
    code, out, _ = vesica(*base, "--budget", "75m")
    assert code == 0
    assert "--steps 200: as it was, the first verdict takes about 2.0 h, more than" in out
    code, _, err = vesica(*base, "--budget", "1s")
    assert (code, "more than --budget" in err) == (2, True)


def test_what_was_chosen_is_said(vesica: Terminal, folder: Path) -> None:  # noqa: F811
    code, out, _ = vesica("compare", folder, *NET, "--dry-run")
    assert code == 0
    for said in (
        "--size 64: the images are 48 pixels across, and 128 would only enlarge them.",
        "First verdict in ",
        "every image is tested once, in 5 folds",
        "402 steps of 16 images: 134 passes over 43 training images.",
    ):
        assert said in out
