"""What travels with a model: enough to use it without the run that it is of. Needs no torch."""

import json
from typing import Annotated, Any

from pydantic import Field, ValidationError

from vesica.data.pixels import FULL_DEPTH
from vesica.errors import DataError
from vesica.model import seal
from vesica.results import Model
from vesica.results.kept import Text, Versions
from vesica.statistics import MIN_FOR_LIMIT, most_beyond

SCHEMA = 1
KEY = "vesica"
"""Of the metadata of a safetensors or ONNX file."""

OF_A_CELL = "weights_digest"
"""Of the metadata of a cell's own tensors."""

MAX_NAMES = 6
Share = Annotated[float, Field(ge=0, le=1)]


class Expected(Model):
    """What test images say of a new one, with the threshold that the model has.

    Attributes:
        mean, low, high: Of per-image IoU, with the interval of the mean.
        least, most: The range of nine new images in ten; None: too few were tested.
        unusual_below: The confidence below which a tenth of new images are.
        unusual_above: The disagreement of seeds above which a tenth of them are. Both None where
            it is not kept, or too few were tested.
        empty_iou: Mean IoU of test images whose masks came out empty, 0 where there were none.
    """

    mean: Share
    low: Share | None
    high: Share | None
    least: Share | None
    most: Share | None
    num_images: int = Field(ge=1)
    num_units: int = Field(ge=1)
    unusual_below: Share | None = None
    unusual_above: Share | None = None
    empty_iou: Share = 0.0


class Traits(Model):
    """A model in use.

    Attributes:
        network: In its spelling.
        num_members: Networks whose probabilities are averaged.
        size_px: Images are resized to squares of this side, bilinearly, as they were to train.
        long_side_px: Of images that are predicted in pieces of that size; 0: whole ones.
        score_at: Whether its test scores are at the network's size, or at the images' own.
        depth: Bits that images of 16 bits use.
        temperature: The logits are divided by it; from validation images.
        threshold: Of the probabilities that come out; from validation images.
        classes: Names of the maps.
        is_exclusive: Each pixel is of one class: the one with the largest probability.
        loss, seeds, folds: What the members were trained with.
        data, fingerprint: The images; their name and their digest.
        weights, licence: What the encoder began with, and what is known of its terms.
        why: Why it is this one of its run, a sentence.
        command, versions: That trained it.
    """

    schema_number: int = Field(SCHEMA, alias="schema", ge=1, le=SCHEMA)
    network: Text
    num_members: int = Field(ge=1, le=1000)
    size_px: int = Field(ge=16, le=4096)
    long_side_px: int = Field(0, ge=0, le=16384)
    score_at: Text = "network"
    depth: int = Field(FULL_DEPTH, ge=1, le=16)
    temperature: float = Field(gt=0, le=1000)
    threshold: Share
    classes: tuple[Text, ...] = Field(min_length=1, max_length=1000)
    is_exclusive: bool = False
    expected: Expected | None = None
    preprocessing: Text = ""
    loss: Text = ""
    seeds: tuple[int, ...] = Field((), max_length=1000)
    folds: int = Field(0, ge=0, le=1000)
    data: Text = ""
    fingerprint: Text = ""
    weights: Text = ""
    licence: Text = ""
    why: Text = ""
    command: Text = ""
    versions: Versions = Field(default_factory=dict, max_length=1000)

    @property
    def unusual_above(self) -> float | None:
        """The disagreement above which an image is unusual; one network has none."""
        return self.expected.unusual_above if self.expected and self.num_members > 1 else None

    @property
    def unusual_below(self) -> float | None:
        """Where no disagreement is known, the confidence below which it is."""
        if self.expected is None or self.unusual_above is not None:
            return None
        return self.expected.unusual_below

    def to_text(self) -> str:
        """As it is in a file's metadata."""
        return self.model_dump_json(by_alias=True)

    def to_metadata(self) -> dict[str, str]:
        """Of a file that is sealed then: what is read again, and what people look for by name."""
        plain = {name: getattr(self, name) for name in ("network", "data", "licence", "command")}
        figures = {name: str(getattr(self, name)) for name in ("size_px", "threshold")}
        named = {KEY: self.to_text(), **plain, **figures, "classes": ", ".join(self.classes)}
        return named | {seal.KEY: seal.UNSEALED}


def read_traits(metadata: Any, where: str) -> Traits:
    """From a file's metadata.

    Raises:
        DataError: If the file is no model that `vesica export` wrote.
    """
    metadata = metadata or {}
    if OF_A_CELL in metadata and KEY not in metadata:
        raise DataError(f"{where}: has a run's trained tensors alone; pass the run's folder")
    if not seal.is_whole(metadata.get(seal.KEY)):
        raise DataError(seal.say_changed(where))
    try:
        return Traits.model_validate(json.loads(metadata[KEY]))
    except KeyError:
        problem = "is missing"
    except ValidationError as error:
        problem = _say_problem(error)
    except (ValueError, RecursionError):
        problem = "is no JSON"
    raise DataError(
        f"{where}: not exported by vesica, or by a later version (its metadata {KEY!r} {problem}); "
        f"pass a run's folder, or a file that `vesica export` of this version wrote"
    )


def _say_problem(error: ValidationError) -> str:
    """By the names of fields alone: what pydantic says is for who wrote the file."""
    found = error.errors()
    missing = [".".join(map(str, one["loc"])) for one in found if one["type"] == "missing"]
    others = [".".join(map(str, one["loc"])) for one in found if one["type"] != "missing"]
    if not any(missing + others):
        return "is no JSON object"
    names = ", ".join((missing or others)[:MAX_NAMES])
    return f"lacks {names}" if missing else f"has an unknown value of {names}"


def say_unmarked(traits: Traits) -> str:
    """Why no limit says which images are unusual, in a sentence; "" where one does."""
    if traits.unusual_above is not None or traits.unusual_below is not None:
        return ""
    found = traits.expected
    if found is None or found.num_units >= MIN_FOR_LIMIT:
        return "Which images are unusual is not known: what the test images had is not kept."
    return (
        f"Which images are unusual is not known: a limit for one in ten takes {MIN_FOR_LIMIT} test "
        f"images, or groups of them, and there are {found.num_units}."
    )


def say_limit(traits: Traits) -> str:
    """How many images the limit marks by chance, in a sentence; "" where there is none."""
    if traits.expected is None or say_unmarked(traits):
        return ""
    num = traits.expected.num_units
    if traits.folds and traits.unusual_above is not None:
        return (
            "The limit is what two seeds differ by, and networks of folds differ more: of images "
            "like those of training it marks more than a tenth."
        )
    return (
        f"The limit is from {num} test images or groups: of images like those of training it marks"
        f" a tenth or fewer on average, and up to {most_beyond(num):.0%} by chance."
    )


def say_expected(traits: Traits) -> str:
    """What to expect of a new image of this kind, in a sentence."""
    found = traits.expected
    if found is None:
        return "What to expect is not known: the run keeps no scores of test images."
    text = f"Expect an IoU of {found.mean:.2f} on a new image of this kind"
    if found.low is not None and found.high is not None:
        text += f" (95 % interval of the mean {found.low:.2f} to {found.high:.2f})"
    if found.least is not None and found.most is not None:
        text += f"; of ten such images nine lie between {found.least:.2f} and {found.most:.2f}"
    else:
        text += "; for a range of single images, fewer than 19 images or groups were tested"
    tested = f"{found.num_images} test images"
    if found.num_units < found.num_images:
        tested += f" in {found.num_units} groups"
    size = f"{traits.size_px}x{traits.size_px} pixels"
    at = "their own size" if traits.score_at == "original" else size
    return f"{text}. From {tested}, scored at {at}."
