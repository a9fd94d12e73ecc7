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
        path: A folder, a name of `DATA` with its options such as "generated:num=500", or the user's
            `FILE.py:FUNCTION`; no part of a cell's identity.
        format: A key of `DATASETS`, or "auto"; of a user's function `resolve` makes its spelling.
        target: "face" or "face+hair" for face sets; None is the format's default.
        foreground: Which values of a mask are foreground, e.g. "255" or ">127".
        group: Regular expression on a sample's name; its first group keeps samples together.
        split: "big", all images, or "small", as many as 1000 of a whole face set.
        train: Number of training images; None: what `split` says.
        val: Number of validation images; None: what `split` says.
        split_seed: Another division of a folder.
        fingerprint: Digest of names and contents; filled in by `resolve`.
    """

    path: str
    format: str = "auto"
    target: str | None = None
    foreground: str | None = None
    group: str | None = None
    split: Literal["big", "small"] = "big"
    train: int | None = Field(None, ge=1)
    val: int | None = Field(None, ge=1)
    split_seed: int = Field(0, ge=0)
    fingerprint: str = ""

    @property
    def name(self) -> str:
        """What people call the images: the folder's name, "generated", or the user's function."""
        if spelling.is_own(self.path):
            return spelling.shown(self.path)
        path = Path(spelling.split_path(self.path)[0])
        return path.name or (path.resolve().name if self.path else "")
