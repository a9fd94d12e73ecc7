"""Lists and files of annotations that are damaged are named, with what is wrong and what to do."""

import json
from pathlib import Path

import numpy as np
import pytest
from test_annotations import make_coco, make_yolo
from test_cli import Terminal, vesica  # noqa: F401 - a fixture
from test_data import failure, save

from vesica.data import open_dataset

PAIRS = "image,mask\n" + "".join(f"a/{n}.png,b/z{n * n}.png\n" for n in (2, 5, 9))
COCO = json.dumps(
    {
        "images": [{"id": 1, "file_name": "0.png"}],
        "annotations": [{"image_id": 1, "category_id": 1, "segmentation": [[1, 1, 5, 1, 5, 5]]}],
        "categories": [{"id": 1, "name": "crack"}],
    }
)


def make_list(root: Path, content: bytes, name: str = "pairs.csv") -> Path:
    """Images and masks whose names do not pair, and a list of them."""
    for number in (2, 5, 9):
        save(root / "a" / f"{number}.png", np.full((4, 4, 3), 90, np.uint8))
        save(root / "b" / f"z{number * number}.png", np.eye(4, dtype=np.uint8))
    (root / name).write_bytes(content)
    return root


def make_json(root: Path, content: bytes) -> Path:
    save(root / "images" / "0.png", np.full((12, 20, 3), 90, np.uint8))
    (root / "annotations.json").write_bytes(content)
    return root


@pytest.mark.parametrize("name", ["pairs.csv", "pairs.TXT", "pairs.tsv"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", ": no pairs. Add lines such as images/1.jpg,masks/1.png."),
        (b"image,mask\n", ": no pairs. Add lines such as images/1.jpg,masks/1.png."),
        (bytes(range(256)) * 20, ": binary data where text is expected. Save it as text, or"),
        (PAIRS.encode("utf-16"), ": text in UTF-16. Save it as UTF-8."),
        (PAIRS.encode("utf-16-le"), ": text in UTF-16. Save it as UTF-8."),
        (PAIRS.replace(",b/z4", ',"b/z4').encode(), ', line 2: a quote (") that is not closed'),
        (PAIRS.replace(",b/z81", ',"b/z81').encode(), ', line 4: a quote (") that is not closed'),
        (PAIRS.replace("a/", "c/").encode(), "3 lines of"),
    ],
)
def test_a_damaged_list_is_named(content: bytes, message: str, name: str, tmp_path: Path) -> None:
    root = make_list(tmp_path, content, name)
    for path in (root, root / name):
        found = failure(open_dataset, path)
        assert message in found
        assert name in found
        assert "layout" not in found


def test_an_open_quote_in_another_column_loses_no_line(tmp_path: Path) -> None:
    rows = PAIRS.splitlines()
    text = "\n".join([rows[0] + ",notes", rows[1] + ',"crack', rows[2] + ",", rows[3] + ","])
    assert "line 2: a quote" in failure(open_dataset, make_list(tmp_path, text.encode()))
    whole = text.replace('"crack', '"crack\nin two lines"')
    assert len(open_dataset(make_list(tmp_path, whole.encode())).samples) == 3


def test_a_damaged_list_of_a_part_is_not_passed_over(tmp_path: Path) -> None:
    root = make_list(tmp_path, PAIRS.encode(), "train.csv")
    (root / "notes.csv").write_bytes(b"")
    assert len(open_dataset(root).samples) == 3
    (root / "val.csv").write_bytes(b"")
    assert failure(open_dataset, root).startswith("val.csv: no pairs.")


@pytest.mark.parametrize(
    "content", [b"", PAIRS.encode("utf-16"), PAIRS.replace(",b/z4", ',"b').encode()]
)
def test_a_damaged_list_beside_another_is_said(content: bytes, tmp_path: Path) -> None:
    root = make_list(tmp_path, PAIRS.encode())
    (root / "other.csv").write_bytes(content)
    found = open_dataset(root)
    assert len(found.samples) == 3
    assert [note for note in found.notes if note.startswith("Left out: other.csv")]


def test_a_list_of_a_part_that_names_no_file_is_not_passed_over(tmp_path: Path) -> None:
    root = make_list(tmp_path, PAIRS.encode(), "train.csv")
    (root / "test.csv").write_text(PAIRS.replace("a/2", "a/3"))
    assert "1 line of test.csv" in failure(open_dataset, root)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("README.txt", b""),
        ("settings.json", b"{}"),
        ("notes.txt", "Photographs".encode("utf-16")),
        ("sizes.csv", b"name,value\n"),
    ],
)
def test_a_stray_file_does_not_hide_why_nothing_was_recognised(
    name: str, content: bytes, tmp_path: Path
) -> None:
    save(tmp_path / "photos" / "0.png", np.full((12, 20, 3), 90, np.uint8))
    (tmp_path / name).write_bytes(content)
    assert failure(open_dataset, tmp_path).startswith(f"{tmp_path}: no known layout: ")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("notes.json", b""),
        ("list.json", b'[{"images": 3}]'),
        ("old.json", "{}".encode("utf-16")),
        ("captions_val.json", b""),
    ],
)
def test_other_json_does_not_spoil_a_set(name: str, content: bytes, tmp_path: Path) -> None:
    root = make_coco(tmp_path)
    (root / name).write_bytes(content)
    assert len(open_dataset(root).samples) == 3


def test_damaged_annotations_beside_masks_are_said(tmp_path: Path) -> None:
    """Whole, they would have been used: nobody is to think that they were."""
    for number in range(3):
        save(tmp_path / "images" / f"{number}.png", np.full((12, 20, 3), 90, np.uint8))
        save(tmp_path / "masks" / f"{number}.png", 255 * np.eye(12, 20, dtype=np.uint8))
    assert not any("beside them" in note for note in open_dataset(tmp_path).notes)
    (tmp_path / "instances.json").write_text(COCO[:40])
    note = open_dataset(tmp_path).notes[-1]
    assert note.startswith("Warning: the masks are used, but beside them lies instances.json: ")


def test_other_texts_are_no_damaged_lists(tmp_path: Path) -> None:
    save(tmp_path / "images" / "0.png", np.full((12, 20, 3), 90, np.uint8))
    (tmp_path / "readme.txt").write_text('Photographs, "cracks" (2019), by us.\nSee the paper.\n')
    (tmp_path / "about.csv").write_text("name,value\nimages,3\n")
    (tmp_path / "config.json").write_text('{"version": 1}')
    found = failure(open_dataset, tmp_path)
    assert "no known layout" in found
    assert "Nothing there can be told to be masks" in found


@pytest.mark.parametrize("format", ["auto", "coco"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file. Export it again, or remove it."),
        (b"[]", "JSON that holds nothing. Export it again."),
        (b"{}", "JSON that holds nothing. Export it again."),
        (b'{"images": []}', "images without annotations. Export it again, with the objects."),
        (COCO[:20].encode(), "no valid JSON (it is cut off behind line 1, column 21). Export it"),
        (COCO[:90].encode(), "no valid JSON (it is cut off behind line 1, column "),
        (b'{"images": oops}', "no valid JSON (Expecting value: line 1 column 12 (char 11))."),
        (b"[" * 200_000, "no valid JSON ("),
        (COCO.encode("utf-16"), "text in UTF-16. Save it as UTF-8."),
        (COCO.encode().replace(b"crack", b"f\xe4llt"), "text that is not in UTF-8. Save it as"),
        (bytes(range(256)), "binary data where text is expected. Save it as text, or remove it."),
    ],
)
def test_damaged_json_is_named(content: bytes, message: str, format: str, tmp_path: Path) -> None:
    found = failure(open_dataset, make_json(tmp_path, content), format=format)
    assert found.startswith(f"annotations.json: {message}")
    assert "\n" not in found


def test_one_damaged_json_of_several_is_not_passed_over(tmp_path: Path) -> None:
    root = make_coco(tmp_path)
    for content in ("", '{"images": [{"id": 1', '{"images": []}'):
        (root / "val.json").write_text(content)
        if content.endswith("}"):
            assert len(open_dataset(root).samples) == 3
        else:
            assert failure(open_dataset, root).startswith("val.json: ")


def test_many_damaged_files_are_one_line(tmp_path: Path) -> None:
    for number in range(5):
        save(tmp_path / f"{number}.png", np.full((12, 20, 3), 90, np.uint8))
        (tmp_path / f"{number}.json").write_bytes(b"")
    assert failure(open_dataset, tmp_path) == (
        "0.json, 1.json, 2.json and 2 more: an empty file. Export it again, or remove it."
    )


def test_labels_of_yolo_in_utf16_are_named(tmp_path: Path) -> None:
    root = make_yolo(tmp_path)
    text = (root / "labels" / "0.txt").read_text()
    (root / "labels" / "2.txt").write_text(text, encoding="utf-16")
    expected = "labels/2.txt: text in UTF-16. Save it as UTF-8."
    assert failure(open_dataset, root) == expected
    (root / "labels" / "0.txt").write_text(text, encoding="utf-16")
    assert failure(open_dataset, root) == expected.replace("labels/2", "labels/0.txt, labels/2")
    (root / "labels" / "0.txt").write_text(text)
    (root / "data.yaml").write_text("names: [crack]\n", encoding="utf-16")
    assert failure(open_dataset, root) == expected.replace("labels/2", "data.yaml, labels/2")


@pytest.mark.parametrize("command", ["check", "compare"])
def test_the_commands_say_so(vesica: Terminal, tmp_path: Path, command: str) -> None:  # noqa: F811
    code, _, err = vesica(command, make_json(tmp_path / "set", b""))
    assert code == 2
    assert err == "Error: annotations.json: an empty file. Export it again, or remove it.\n"
