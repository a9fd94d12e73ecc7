"""Vesica from Python: the page about it, functions of the user's own, what a notebook shows."""

import doctest
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny import TINY

import vesica
from vesica.errors import DataError

PAGE = Path(__file__).parents[1] / "docs" / "python.md"
FIELDS: dict[str, Any] = {"model": TINY, "size": 64, "batch": 8, "epochs": 1, "quiet": True}


def test_the_page_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL):
        exec(block, names)  # our own page
    assert names["page"].is_file()
    assert len(names["rows"]) == 4
    html = names["run"]._repr_html_()
    assert "srcdoc=" in html
    assert "Undecided on generated" in html
    assert "&lt;svg" in html


def test_the_docstrings_example_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (example,) = doctest.DocTestFinder().find(vesica.compare, "compare", globs={})
    assert doctest.DocTestRunner().run(example).failed == 0
    assert len(example.examples) == 4


def test_importing_takes_no_torch() -> None:
    check = (
        "import sys, vesica; run = vesica.Run; vesica.open_run; vesica.compare; "
        "print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def compare(folder: Path, **options: Any) -> vesica.Run:
    fields = (
        FIELDS
        | {"seeds": 1, "folds": 0, "out": folder / "run", "cache": folder / "cache"}
        | options
    )
    return vesica.compare("generated:num=40:size=48", ["bce"], **fields)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"weights": lambda: 1}, "weights is a function; expected a value"),
        ({"beside": 3}, "beside is 3; expected a name or a function"),
        ({"model": 3}, "model is 3; expected a name or a function"),
        ({"losses": "bce,nope"}, "unknown loss 'nope'"),
        ({"losses": " , "}, "losses is empty"),
        ({"losses": ["bce", None]}, "loss is None; expected a name or a function"),
        ({"log": "tensorboard,nothing"}, "nothing"),
        ({"budget": 3}, "budget=3: expected a time such as '2h'"),
        ({"seeds": "3"}, "seeds='3': expected 1 or more"),
        ({"seeds": 0}, "seeds=0: expected 1 or more"),
        ({"jobs": 0}, "jobs=0: expected 1 or more"),
        ({"jobs": -1}, "jobs=-1: expected 1 or more"),
        ({"margin": 200}, "margin=200: expected points of IoU, from 0 to 100"),
        ({"margin": float("nan")}, "margin=nan: expected points of IoU"),
    ],
)
def test_what_does_not_fit_is_told_first(
    options: dict[str, Any], words: str, tmp_path: Path
) -> None:
    fields = FIELDS | {"out": tmp_path / "run", "cache": tmp_path / "cache"} | options
    with pytest.raises((ValueError, DataError), match=re.escape(words)):
        vesica.compare("generated:num=40:size=48", **fields)
    assert not (tmp_path / "run").exists()


def test_an_average_beside_may_be_a_function(tmp_path: Path) -> None:
    def mine(step: int, num_steps: int) -> float:
        return 0.9

    run = compare(tmp_path, beside=mine, jobs=1)
    assert run.cells[0].recipe.beside.startswith("<mine")
    assert (run.results()[0].folder / "beside" / "scores.csv").exists()


def test_a_function_without_a_file_never_uses_a_result_again(tmp_path: Path) -> None:
    for number in (1, 2):
        names: dict[str, Any] = {"torch": torch}
        exec(
            "def mine(logits, target):\n"
            "    return ((logits.sigmoid() - target) ** 2).mean(dim=(1, 2))",
            names,
        )
        run = compare(tmp_path, loss=names["mine"], jobs=1)
        assert len(run.cells) == 1 + number
        assert run.cells[-1].loss_name.startswith("<mine")


def test_a_function_without_a_file_is_refused_for_several_processes(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"other processes cannot find this function.*jobs=1"):
        compare(tmp_path, loss=lambda logits, target: logits.mean(dim=(1, 2)), jobs=2)


SCRIPT = """
print("begun", flush=True)
import vesica

run = vesica.compare(
    "generated:num=40:size=48", model="bfcn32s:width=4", weights="none", size=32, seeds=1,
    epochs=1, batch=8, folds=0, out="run", cache="cache", jobs=2, quiet=True,
)
print(len(run.results()), "results")
"""


def test_several_processes_do_not_run_the_users_script_again(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text(SCRIPT)  # without `if __name__ == "__main__"`
    command = [sys.executable, "script.py"]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=tmp_path)
    assert done.stdout.splitlines() == ["begun", "2 results"]


def test_networks_and_other_functions_may_be_handed_in(tmp_path: Path) -> None:
    def net() -> torch.nn.Module:
        return torch.nn.Conv2d(3, 1, 3, padding=1)

    def adam(parameters: Any) -> torch.optim.Optimizer:
        return torch.optim.Adam(parameters)

    run = compare(tmp_path, model=net, optimizer=adam, jobs=1)
    assert run.cells[0].network_name.startswith("<net")
    assert run.best("bce")(torch.zeros(1, 3, 64, 64)).shape == (1, 1, 64, 64)


def test_mistakes_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no field 'epoch'; it has: model"):
        compare(tmp_path, epoch=3)
    with pytest.raises(ValueError, match=r"^absent='x': Input should be 'score' or 'skip'$"):
        compare(tmp_path, absent="x")
    with pytest.raises(ValueError, match=r"^long_side 32 is below the size of a crop, 64: pass a"):
        compare(tmp_path, long_side=32)
    with pytest.raises(ValueError, match="--steps and --epochs both say how long to train: leave"):
        compare(tmp_path, steps=5, epochs=2)
    with pytest.raises(ValueError, match=r"^seeds=0: expected 1 or more$"):
        vesica.compare("generated:num=20", seeds=0)
    with pytest.raises(ValueError, match="seeds is the number of seeds: leave out max_seeds"):
        compare(tmp_path, seeds=3, max_seeds=5)
    with pytest.raises(ValueError, match="unknown loss 'iuo'"):
        compare(tmp_path, loss="iuo")
    with pytest.raises(DataError, match="no run of Vesica"):
        vesica.open_run(tmp_path / "nowhere")
    run = compare(tmp_path)
    with pytest.raises(DataError, match="no run of 'iou' has scores; it has: bce"):
        run.best("iou")
