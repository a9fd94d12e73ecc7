"""The command line as a user meets it: what is printed, and the exit code."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import tiny
from PIL import Image
from realdata import require

from vesica import compare, open_run
from vesica.__main__ import main
from vesica.data.library import Library
from vesica.data.synthetic import open_faces
from vesica.errors import DataError
from vesica.files import write_text
from vesica.results import cell_folder, read_plan, read_table

TINY = ["--model", f"{tiny.TINY}:width=8", "--size", "64", "--batch", "8", "--lr", "1e-3"]
TINY += ["--folds", "0"]

LEARNS = ["--size", "64", "--steps", "60", "--folds", "0"]
"""The default network, for long enough to be better than a constant mask."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A user's folder: 60 generated faces with masks of 0 and 255."""
    faces = open_faces(60, size_px=48)
    for name in ("images", "masks"):
        (tmp_path / "data" / name).mkdir(parents=True)
    for sample in faces.samples:
        image, mask = faces.read(sample)
        Image.fromarray(image).save(tmp_path / "data" / "images" / f"{sample.name}.png")
        Image.fromarray(255 * mask.astype(np.uint8)).save(
            tmp_path / "data" / "masks" / f"{sample.name}.png"
        )
    return tmp_path / "data"


class Terminal:
    """Runs `vesica` in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self.monkeypatch, self.capsys = monkeypatch, capsys
        monkeypatch.setenv("COLUMNS", "200")

    def __call__(self, *arguments: object) -> tuple[int, str, str]:
        """Exit code, standard output, standard error."""
        self.monkeypatch.setattr(sys, "argv", ["vesica", *map(str, arguments)])
        with pytest.raises(SystemExit) as stop:
            main()
        out, err = self.capsys.readouterr()
        return int(stop.value.code or 0), out, err


@pytest.fixture
def vesica(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> Terminal:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    return Terminal(monkeypatch, capsys)


def test_compare_runs_from_a_folder_to_a_verdict(vesica: Terminal, folder: Path) -> None:
    arguments = ["compare", folder, *LEARNS, "--seeds", 2, "--out", "run"]
    code, out, err = vesica(*arguments)
    assert (code, err) == (0, "")
    assert "4 cells: bce, iou with 2 seeds" in out
    assert "mean mask" in out
    assert (
        out.count("Is it only the threshold? With bce's alone tuned on validation: iou minus") == 1
    )
    assert "for this training set and split; too few seeds" in " ".join(out.split())
    page = Path("run/report.html").read_text()
    assert "<script src" not in page
    assert "Report: run/report.html" in out

    code, again, _ = vesica(*arguments)
    assert code == 0
    assert "Estimated: 0 min" in again, "finished cells are not run again"

    code, out, _ = vesica("status", "run")
    assert (code, out.count("finished") + out.count("collapsed")) == (0, 4)
    assert "4 of 4 cells have a result." in out

    assert "weights" not in out

    next(Path("run/cells").glob("*/model.safetensors")).unlink()
    code, out, _ = vesica("status", "run")
    assert (code, out.count(", weights missing")) == (0, 1)
    assert "1 cell without model.safetensors: judged all the same" in " ".join(out.split())

    Path("run/report.html").unlink()
    code, out, _ = vesica("report", "run", "--json")
    assert code == 0
    assert json.loads(out)["num_results"] == 4
    assert Path("run/report.html").exists()


def test_a_margin_that_is_fixed_is_refused_before_anything_changes(
    vesica: Terminal, folder: Path
) -> None:
    base = ["compare", folder, *LEARNS, "--jobs", 1, "--out", "run"]
    assert vesica(*base, "--seeds", 3, "--margin", 2)[0] == 0
    plan = Path("run/plan.json").read_text()
    code, _, err = vesica(*base, "--seeds", 4, "--margin", 1)
    assert (code, "was looked at with a margin of 2 points" in err) == (2, True)
    assert Path("run/plan.json").read_text() == plan
    assert vesica("run", "run")[0] == 0  # the margin stays, as nobody says another
    assert json.loads(Path("run/results.json").read_text())["margin"] == 0.02


def test_foreground_chooses_values_of_the_masks(vesica: Terminal, folder: Path) -> None:
    for file in (folder / "masks").iterdir():
        values = np.array(Image.open(file))
        values[:4] = 128  # a third value, such as a border to ignore
        Image.fromarray(values).save(file)
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1]
    code, _, err = vesica(*base, "--out", "run")
    assert (code, "--foreground 255" in err) == (2, True)
    for rule in ("255", ">127"):
        code, _, err = vesica(*base, "--out", f"run{rule}", "--foreground", rule)
        assert (code, err) == (0, "")
    only, above = (
        json.loads(Path(f"run{rule}/results.json").read_text())["groups"][0]["baselines"]
        for rule in ("255", ">127")
    )
    assert only["mean mask"] != above["mean mask"]


def test_an_interrupted_run_of_an_earlier_day_goes_on(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1]
    earlier = Path("runs/data-2020-01-01")
    assert vesica(*base, "--out", earlier)[0] == 0
    assert "Results go to runs/data-2020-01-01" not in vesica(*base, "--dry-run")[1]
    next(earlier.rglob("result.json")).unlink()
    code, out, _ = vesica(*base)
    assert (code, "Results go to runs/data-2020-01-01" in out) == (0, True)


def test_a_failed_run_shows_in_the_exit_code(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1, "--lr", 1e36]
    code, out, _ = vesica(*base, "--out", "run")
    assert code == 1
    assert "not finite" in out


def test_a_full_disk_is_noticed_before_training(
    vesica: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda path: SimpleNamespace(free=1000))
    code, out, err = vesica("compare", folder, *TINY, "--out", "run")
    assert (code, "test IoU" in out) == (2, False)
    assert "1 kB free and this plan needs about" in err
    assert "0.0" not in err
    assert not Path("run").exists()


def test_names_are_no_markup(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1]
    code, out, _ = vesica(*base, "--out", "o[b] [bold]")
    assert (code, "Results go to o[b] [bold]" in out) == (0, True)


def test_all_bad_files_are_in_one_message(vesica: Terminal, folder: Path) -> None:
    (folder / "masks" / "face_000000.png").unlink()
    (folder / "images" / "face_000001.png").write_bytes(b"no image")
    (folder / "masks" / "face_000002.png").unlink()
    (folder / "masks" / "face_000002.png").symlink_to("nowhere.png")
    code, _, err = vesica("compare", folder, *TINY, "--out", "run")
    assert code == 2
    assert all(f"face_00000{number}" in err for number in range(3)), err


def test_json_is_alone_on_standard_output(vesica: Terminal, folder: Path) -> None:
    code, out, err = vesica("compare", folder, *LEARNS, "--seeds", 1, "--out", "run", "--json")
    assert code == 0
    assert json.loads(out) == json.loads(Path("run/results.json").read_text())
    assert "seed noise not measured" in err


def test_dry_run_says_the_cost_and_leaves_nothing(vesica: Terminal, folder: Path) -> None:
    code, out, _ = vesica("compare", folder, *TINY, "--out", "run", "--dry-run")
    assert code == 0
    assert "6 cells" in out
    assert "GB memory" in out
    assert not Path("run").exists()


def test_long_runs_are_told_of_a_shorter_one(vesica: Terminal, folder: Path) -> None:
    big = ["--weights", "none", "--size", 160, "--epochs", 100000, "--batch", 1]
    code, out, _ = vesica("compare", folder, *big, "--seeds", 3, "--out", "run", "--dry-run")
    assert code == 0
    assert "a smaller --size or fewer --steps" in out


def break_data(folder: Path, how: str) -> None:
    first = sorted((folder / "images").iterdir())[0]
    mask = folder / "masks" / first.name
    if how == "no mask":
        mask.unlink()
    elif how == "no image":
        first.unlink()
    elif how == "grey mask":
        Image.fromarray(np.arange(48 * 48).reshape(48, 48).astype(np.uint8)).save(mask)
    elif how == "other size":
        Image.new("L", (7, 9)).save(mask)
    elif how == "truncated":
        for image in sorted((folder / "images").iterdir())[:2]:
            whole = Image.open(image).convert("RGB")
            image.unlink()
            whole.save(image.with_suffix(".jpg"))
            content = image.with_suffix(".jpg").read_bytes()
            image.with_suffix(".jpg").write_bytes(content[: len(content) // 2])
    elif how == "empty":
        for path in folder.rglob("*.png"):
            path.unlink()
    elif how == "few":
        for path in folder.rglob("*.png"):
            if path.stem > "face_000001":
                path.unlink()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("no mask", ["face_000000", "mask"]),
        ("no image", ["face_000000", "image"]),
        ("grey mask", ["face_000000.png", "values", "--foreground"]),
        ("other size", ["face_000000", "48", "7"]),
        ("truncated", ["face_000000.jpg", "face_000001.jpg"]),
        ("empty", ["image"]),
        ("few", ["2 images", "Add at least 1 image"]),
    ],
)
def test_bad_data_is_one_message_before_any_training(
    how: str, words: list[str], vesica: Terminal, folder: Path
) -> None:
    break_data(folder, how)
    code, out, err = vesica("compare", folder, *TINY, "--out", "run")
    assert code == 2
    assert err.startswith("Error: ")
    assert "Traceback" not in err
    assert all(word in err for word in words), err
    assert "epoch" not in out
    assert not Path("run").exists()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--losses", "bce,iuo"], ["'iuo'", "bce, focal, iou, jaccard_distance"]),
        (["--losses", "tversky:alhpa=1"], ["'alhpa'", "alpha, beta, smooth"]),
        (["--losses", ""], ["loss"]),
        (["--model", "vgg"], ["'vgg'", "bfcn32s, bfcn16s", "smp:unet"]),
        (["--weights", "hedd"], ["'hedd'", "torchvision, hed"]),
        (["--weights", "hed", "--model", "fcresnet"], ["'hed'", "fcresnet"]),
        (["--weights", "hed:nowhere.h5", "--model", "bfcn32s"], ["nowhere.h5", "pip install"]),
        (["--target", "face"], ["face"]),
        (["--format", "lfw"], ["lfw"]),
        (["--group", "("], ["--group", "("]),
        (["--size", "5"], ["Error: --size 5: ", "16"]),
        (["--lr", "0"], ["lr"]),
        (["--dropout", "1"], ["dropout"]),
        (["--steps", "5", "--epochs", "2"], ["Error: --steps and --epochs both say how long"]),
        (["--long-side", "32"], ["Error: long_side 32 is below", "smaller --size"]),
        (["--train", "5000"], ["5000"]),
        (["--out", "data"], ["data", "--out"]),
    ],
)
def test_bad_options_are_one_sentence(
    options: list[str], words: list[str], vesica: Terminal, folder: Path
) -> None:
    code, _, err = vesica("compare", folder, *TINY, "--out", "run", *options)
    assert code == 2, err
    assert "Traceback" not in err
    assert len(err.strip().splitlines()) == 1
    assert all(word in err for word in words), err
    assert not Path("run").exists()


def test_typer_refuses_what_is_no_choice(vesica: Terminal, folder: Path) -> None:
    code, _, err = vesica("compare", folder, "--keep", "worst")
    assert code == 2
    assert "best" in err


def test_missing_folder(vesica: Terminal) -> None:
    code, _, err = vesica("compare", "nowhere")
    assert code == 2
    assert err.startswith("Error: nowhere: no such folder. Check the path, or name generated")
    assert len(err.splitlines()) == 1


def test_options_without_effect_are_refused(vesica: Terminal, folder: Path) -> None:
    code, _, err = vesica("compare", folder, "--fairness", "--lr", "0.1", "--keep", "last")
    assert code == 2
    assert "leave out --lr, --keep" in " ".join(err.replace("\u2502", " ").split())


def test_a_cache_that_cannot_be_written(vesica: Terminal, folder: Path) -> None:
    code, _, err = vesica("compare", folder, *TINY, "--cache", "/proc/self/cache")
    assert code == 2
    assert err == (
        "Error: /proc/self/cache: /proc/self cannot be written to; pass another --cache\n"
    )


def test_a_cache_that_is_a_file(vesica: Terminal, folder: Path) -> None:
    Path("file").write_text("")
    code, _, err = vesica("compare", folder, *TINY, "--cache", "file")
    assert code == 2
    assert "file: is a file; pass another --cache" in err
    assert not Path("runs").exists()


def test_changed_images_are_named(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1, "--out", "run"]
    assert vesica(*base)[0] == 0
    first = min((folder / "images").iterdir())
    Image.open(first).transpose(Image.Transpose.FLIP_TOP_BOTTOM).save(first)
    code, _, err = vesica(*base)
    assert code == 2
    assert "the images or labels have changed" in err


def test_another_setting_in_the_same_folder(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1, "--out", "run"]
    assert vesica(*base)[0] == 0
    before = {path: path.read_bytes() for path in Path("run").rglob("*.json")}
    code, _, err = vesica(*base, "--patience", 3)
    assert code == 2
    assert "(patience was 0, now 3)" in err
    assert before == {path: path.read_bytes() for path in Path("run").rglob("*.json")}


def test_a_run_of_another_kind_in_the_same_folder(vesica: Terminal, folder: Path) -> None:
    rest = [*TINY, "--epochs", 1, "--seeds", 1]
    plan = ["run", "losses", folder, "--losses", "bce,iou"]
    assert vesica("compare", folder, *rest, "--out", "plain")[0] == 0
    code, _, err = vesica(*plan, *rest, "--out", "plain")
    assert (code, "another kind (plain, and this one is losses); pass another" in err) == (2, True)
    assert vesica(*plan, *rest, "--out", "losses")[0] == 0
    code, _, err = vesica("compare", folder, *rest, "--out", "losses")
    assert (code, "another kind (losses, and this one is plain); pass another" in err) == (2, True)
    with pytest.raises(DataError, match="another kind"):
        compare(folder, out="losses", quiet=True)
    run = open_run("losses")
    run.train(run.prepare(run.cells))  # going on needs no name of what it is
    assert run.plan.kind == "losses"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        (["compare", "DATA", "--losses", "bce,iuo"], "unknown loss 'iuo'"),
        (["compare", "DATA", "--model", "unett"], "unknown model 'unett'"),
        (["compare", "DATA", "--optimizer", "adamx"], "unknown optimizer 'adamx'"),
        (["compare", "DATA", "--augment", "flop"], "unknown augmentation 'flop'"),
        (["run", "losses", "DATA", "--losses", "bce,iuo"], "unknown loss 'iuo'"),
        (["run", "sparsity", "DATA", "--optimizer", "adamx"], "unknown optimizer 'adamx'"),
        (
            ["run", "sparsity-classes", "DATA", "--foreground", "a=1;b=2", "--model", "unett"],
            "unknown model 'unett'",
        ),
        (["run", "architectures", "DATA", "--networks", "unet,fcm"], "unknown model 'fcm'"),
        (["run", "architectures", "DATA", "--losses", "bce,iuo"], "unknown loss 'iuo'"),
        (
            ["run", "architectures", "DATA", "--networks", "unet,fcresnet", "--weights", "hed"],
            "weights hed fit none of unet, fcresnet",
        ),
        (
            ["run", "architectures", "DATA", "--networks", "unet,segnet", "--width", "8"],
            "width: none of unet, segnet has it; leave it out",
        ),
    ],
)
def test_misspelt_names_are_told_before_images_are_read(
    command: list[str], told: str, vesica: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Library, "dataset", lambda *given: pytest.fail("images were opened"))
    code, _, err = vesica(*[str(folder) if word == "DATA" else word for word in command])
    assert (code, told in err) == (2, True), err


def test_damage_that_no_verdict_needs_is_told(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1, "--out", "run"]
    assert vesica(*base)[0] == 0
    first, second = sorted(Path("run/cells").iterdir())
    checkpoint = first / "checkpoint.safetensors"  # as a longer training leaves none
    write_text(checkpoint, "")
    checkpoint.unlink()
    code, out, _ = vesica("report", "run")
    assert (code, "Not what was written" in out) == (0, False)
    (first / "model.safetensors").unlink()
    (second / "cell.json").write_text("{}")
    code, out, _ = vesica("report", "run")
    for told in (
        f"{first.relative_to('run')}/model.safetensors missing",
        f"{second.relative_to('run')}/cell.json damaged",
        "the folders of these 2 cells and train again: vesica run run",
    ):
        assert told in out
    assert "cell.json damaged" in Path("run/report.html").read_text()
    code, out, _ = vesica("report", "run", "--json")
    assert json.loads(out)["damage"].startswith("Not what was written")


def test_cells_are_called_by_what_tells_them_apart(vesica: Terminal, folder: Path) -> None:
    other = "generated:num=60:size=48"
    options = ["--losses", "bce,iou", "--size", 48, "--steps", 8, "--batch", 8, "--seeds", 1]
    options += ["--model", tiny.TINY, "--out", "run", "--folds", 2]
    code, out, _ = vesica("run", "losses", folder, other, *options)
    assert code in (0, 1)
    assert re.search(rf"^iou, seed 0, fold 2 of 2, {other}: test IoU .* after \d epochs", out, re.M)
    _, out, _ = vesica("status", "run")
    assert re.search(rf"bce, seed 0, fold 1 of 2, {folder.name}: ", out)
    _, out, _ = vesica("run", "losses", folder, *options[:-2], "--folds", 2, "--dry-run")
    assert "fold 1" not in out
    assert out.count("images; ") == 1, "all folds are described once"
    _, out, _ = vesica("run", "losses", folder, *options[:-4], "--dry-run")
    assert "Results go to runs/data-losses-" in out


PLAN = """
from vesica.plan import Cell, Recipe, Source, across
def plan():
    base = Cell(data=Source(path="generated:num=60:size=64"), model="TINY", size=64,
                recipe=Recipe(max_epochs=1))
    return across(base, lr=[1e-4, 1e-3], loss=["bce", "iou"])
"""


def test_a_users_plan(vesica: Terminal, tmp_path: Path) -> None:
    (tmp_path / "rates.py").write_text(PLAN.replace("TINY", tiny.TINY))
    code, out, err = vesica("run", "rates.py", "--out", "run")
    assert (code, err) == (0, "")
    assert out.count("Undecided on generated, face (optimizer rmsprop") == 2


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("def plan():\n    return 1 / 0", ["bad.py:2", "ZeroDivisionError"]),
        ("def plan(:", ["bad.py", "SyntaxError"]),
        ("cells = []", ["bad.py", "no function 'plan'"]),
        ("def plan():\n    return [1]", ["bad.py", "list of vesica.plan.Cell"]),
        ("def plan():\n    return []", ["no cells"]),
        ("import nowhere", ["bad.py:1", "nowhere"]),
        (
            "from vesica.plan import Cell\ndef plan():\n    return [Cell(path='a/', loss='bce')]",
            ["bad.py:3: Cell: ", "data is missing", "path='a/': no such field; mend the plan"],
        ),
        (
            "from vesica.plan import Recipe\nSHORT = Recipe(lr=-1, epochs=3)",
            ["bad.py:2: Recipe: ", "lr=-1: ", "epochs=3: no such field; mend the file"],
        ),
    ],
)
def test_a_plan_that_raises(text: str, words: list[str], vesica: Terminal, tmp_path: Path) -> None:
    (tmp_path / "bad.py").write_text(text)
    code, _, err = vesica("run", "bad.py", "--out", "run")
    assert code == 2
    assert len(err.splitlines()) == 1
    assert "pydantic" not in err
    assert all(word in err for word in words), err


def test_unknown_plan_and_unknown_run(vesica: Terminal) -> None:
    for more in ([], ["generated:num=60:size=64"], ["--seeds", 2], ["--trust"], ["--size", 64]):
        for name in ("dmeo", "losess", "nowhere.py", "runs/none"):
            code, _, err = vesica("run", name, *more)
            assert (code, f"{name}: no such plan" in err) == (2, True)
            assert "built in: demo" in err
            assert ("is losses meant?" in err) == (name == "losess")
    Path("photos").mkdir()
    code, _, err = vesica("run", "photos")
    assert (code, "photos: a folder, and no run of Vesica" in err) == (2, True)
    for command in ("status", "report"):
        code, _, err = vesica(command, "nowhere")
        assert (code, "no run of Vesica" in err) == (2, True)


@pytest.mark.parametrize("command", ["--help", "status --help", "report --help", "compare --help"])
def test_help_imports_no_torch(command: str) -> None:
    script = (
        "import sys\nsys.argv = ['vesica', *sys.argv[1:]]\nfrom vesica.__main__ import main\n"
        "try:\n    main()\nfinally:\n    assert 'torch' not in sys.modules"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *command.split()],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "vesica" in done.stdout


@pytest.mark.parametrize(
    ("given", "found"), [({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "active"}, "active")]
)
def test_threads_do_not_spin_where_they_wait(given: dict[str, str], found: str) -> None:
    script = (
        "import os, sys\nfrom vesica import __main__\nassert 'torch' not in sys.modules\n"
        "__main__.app = lambda: print(os.environ['OMP_WAIT_POLICY'])\n"
        "__main__.main()"
    )
    rest = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"}
    said = subprocess.check_output([sys.executable, "-c", script], env=rest | given, text=True)
    assert said == f"{found}\n"


def test_real_faces_in_helens_layout(vesica: Terminal) -> None:
    data = require("celebamask_as_helen")
    code, out, err = vesica(
        *("compare", data, "--target", "face+hair", *TINY, "--epochs", 1, "--seeds", 1),
        *("--losses", "iou", "--score-at", "network", "--out", "run"),
    )
    assert (code, err) == (0, "")
    assert "1000 images; 800 train, 100 validate, 100 test" in out


def test_real_microscope_images(vesica: Terminal) -> None:
    data = require("nuclei")
    code, out, _ = vesica("compare", data, *LEARNS, "--seeds", 3, "--out", "run")
    assert code == 0
    assert "all 175 images are tested" in " ".join(out.split())


def test_names_are_no_pictures(vesica: Terminal, tmp_path: Path) -> None:
    """A terminal must show `sets.py:heart:...` as it is spelled."""
    (tmp_path / "sets.py").write_text(
        "from vesica.data.synthetic import open_faces\n\n\n"
        "def heart(*, num: int = 60):\n    return open_faces(num, size_px=48)\n"
    )
    data = f"{tmp_path / 'sets.py'}:heart:num=61"
    code, out, _ = vesica("compare", data, *TINY, "--epochs", 1, "--seeds", 1, "--out", "run")
    assert code == 0
    assert "sets.py:heart:num=61" in out


def test_seeds_are_added_and_the_budget_is_kept(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY, "--epochs", 1]
    assert vesica(*base, "--until", "decided", "--seeds", 3)[0] == 2
    for command in (base, ["demo"]):
        code, _, err = vesica(*command, "--seeds", 3, "--max-seeds", 5, "--out", "short")
        assert (code, "leave out --max-seeds" in err) == (2, True)
    long = [*base[:-1], 100_000]
    code, _, err = vesica(*long, "--budget", "1s", "--out", "short")
    assert (code, "more than --budget" in err) == (2, True)
    code, _, err = vesica(*base, "--budget", "soon", "--out", "short")
    assert (code, "expected a time such as 2h" in err) == (2, True)
    assert not Path("short").exists()
    code, out, _ = vesica(*base, "--max-seeds", 3, "--out", "run")
    assert code == 0
    assert "with 3 seeds" in out


def test_no_command_advises_what_it_does_not_have(
    vesica: Terminal, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vesica.estimate.installed_memory", lambda: 1e6)
    base = ["compare", folder, *TINY, "--epochs", 1, "--seeds", 1]
    code, out, _ = vesica(*base, "--dry-run")
    assert code == 0
    assert (
        "0.0 GB of memory: pass a smaller --batch or a smaller --size or a smaller --width." in out
    )
    code, out, _ = vesica("demo", "--seeds", 1, "--dry-run")
    assert code == 0
    assert "0.0 GB of memory, which is too little." in out
    code, _, err = vesica("demo", "--budget", "1s", "--out", "short")
    assert (code, err.strip().endswith("; pass a larger one")) == (2, True), err
    code, _, err = vesica(*base, "--margin", 101)
    assert (code, "--margin" in err) == (2, True)
    code, _, err = vesica(*base, "--losses", " ,")
    assert (code, "--losses is empty" in err) == (2, True)
    code, out, _ = vesica(*base, "--losses", "bce, iou,", "--dry-run")
    assert (code, "2 cells: bce, iou" in out) == (0, True)


def test_folds_test_every_image_once(vesica: Terminal, folder: Path) -> None:
    code, out, _ = vesica(
        "compare", folder, *LEARNS[:-2], "--folds", 3, "--seeds", 2, "--out", "run", "--json"
    )
    assert code == 0
    (group,) = json.loads(out)["groups"]
    (pair,) = group["comparisons"]
    assert (pair["num_images"], pair["num_folds"], pair["num_seeds"]) == (60, 3, 2)
    cells = [c for c in read_plan(Path("run")).cells if (c.loss, c.seed) == ("bce", 0)]
    tables = [read_table(cell_folder(Path("run"), cell) / "scores.csv") for cell in cells]
    names = [row["name"] for table in tables for row in table]
    assert len(names) == len(set(names)) == 60


def test_small_sets_are_tested_in_folds_unless_it_is_said(vesica: Terminal, folder: Path) -> None:
    base = ["compare", folder, *TINY[:-2], "--epochs", 1, "--seeds", 3, "--dry-run", "--out", "run"]
    code, out, _ = vesica(*base)
    assert code == 0
    assert "30 cells" in out
    assert "every image is tested once, in 5 folds (--folds 0 for one division)" in out
    code, out, _ = vesica(*base, "--folds", 0)
    assert (code, "6 cells" in out, "every image" in out) == (0, True, False)
    code, out, _ = vesica(*base, "--recipe", "paper")
    assert (code, "6 cells" in out) == (0, True)
