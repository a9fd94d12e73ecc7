"""Which images a cell is about, as plain data."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from vesica import spelling


class Frozen(BaseModel):
    """Immutable, and strict about the names of its fields."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(Frozen):
    """Which images, what counts as foreground, and how they are divided.

    Attributes:
        path: A folder, a name of `DATA` or `DERIVED` with its options such as "generated:num=500",
            or the user's `FILE.py:FUNCTION`; no part of a cell's identity.
        fold: Which of the `folds` is tested, from 0.
        class_names: Of several classes; filled in by `resolve`, and told by the fingerprint.
        fingerprint: Digest of names and contents; filled in by `resolve`.
    """

    path: str
    format: str = Field(
        "auto",
        description="Layout of a folder: lfw, helen, coco, folder, ...; auto recognises it; "
        "`vesica formats` lists them.",
    )
    target: str | None = Field(
        None,
        description="What is foreground: face or face+hair, for the face sets; a category, several "
        "as crack+hole, or all, for labelled objects.",
    )
    foreground: str | None = Field(
        None,
        description="What of the masks is foreground: 255, 4,5, '>127', '#ff0000', alpha, or with "
        "a name, crack=1. By default chosen by what all masks hold.",
    )
    ignore: str | None = Field(
        None, description="What of the masks is left out, from training and scores: 255, '#e0e0c0'."
    )
    classes: bool = Field(
        False,
        description="Every value (or colour) of the masks is a class, and each pixel is of one: "
        "softmax, and an IoU for each class. --foreground 'road=3;car=8' names some; the rest is "
        "one more.",
    )
    fit_masks: bool = Field(
        False, description="Resize masks to their images, where their sizes differ."
    )
    as_stored: bool = Field(
        False, description="Leave images as stored, whatever their EXIF orientation says."
    )
    depth: int | None = Field(
        None,
        ge=1,
        le=16,
        description="Bits that 16-bit images use. By default as many as their largest value needs.",
    )
    group: str | None = Field(
        None,
        description="Regular expression on an image's name; its first group names the person, "
        "patient or slide, which is never divided.",
    )
    images: str | None = Field(
        None,
        description="Glob for the images of a folder, where they are not found: 'scans/{}.jpg'; "
        "{} is what pairs them with their masks.",
    )
    masks: str | None = Field(None, description="Glob for the masks: 'labels/{}_seg.png'.")
    skip_unpaired: bool = Field(
        False, description="Leave out and count images without a mask and masks without an image."
    )
    split: Literal["big", "small"] = Field("big", description="Table 1 of the paper.")
    train: int | None = Field(None, ge=1, description="Training images, instead of --split's.")
    val: int | None = Field(None, ge=1, description="Validation images, instead of --split's.")
    split_seed: int = Field(0, ge=0, description="Another division of a folder.")
    division: Literal["exact", "pooled", "drawn"] | None = Field(
        None,
        description="exact: a hash orders the images, and shares are cut from the order. pooled: "
        "so too, without regard to the folders' own train, val and test. drawn: each image's part "
        "is drawn by itself, as by earlier versions. [default: exact]",
    )
    folds: int = Field(
        0,
        ge=0,
        description="Test every image once, by so many divisions of the set; groups stay together. "
        "modern: 5 where one division leaves fewer than 50 test images; 0 for never.",
    )
    fold: int | None = Field(None, ge=0)
    class_names: tuple[str, ...] = ()
    fingerprint: str = ""

    @property
    def every_fold(self) -> list[int | None]:
        """The numbers of its folds; None alone where the images are divided once."""
        return [*range(self.folds)] or [None]

    @property
    def name(self) -> str:
        """What people call the images: the folder's name, "generated", or the user's function."""
        if spelling.is_own(self.path):
            return spelling.shown(self.path)
        path = Path(spelling.split_path(self.path)[0])
        return path.name or (path.resolve().name if self.path else "")

    @property
    def spelled(self) -> str:
        """The same with the options of a spelling, to tell one from another."""
        name, options = self.name, self.path.partition(":")[2]
        is_folder = not options or spelling.is_own(self.path) or "=" not in options
        return name if is_folder else f"{name}:{options}"
