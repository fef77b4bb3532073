"""What a model says about itself: its metadata and tensor shapes, read into one record.

Pure. Knows nothing of onnxruntime; the engine hands over plain text and shapes. A model that does not
say how to be used is refused with a list of what it does say: a wrong guess gives wrong boxes silently.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeVar

from edgecore.base.errors import ModelError

PREFIX = "edgecore."
MAX_SIDE = 4096
"""Pixels. Larger inputs are no detection model for a Pi, and one frame of it would be 50 MB."""
MAX_LABELS = 1000

_T = TypeVar("_T", bound=str)
Layout = Literal["NHWC", "NCHW"]
Colour = Literal["BGR", "RGB"]
Resize = Literal["stretch", "letterbox"]
DType = Literal["uint8", "float32"]
_DTYPES: dict[str, DType] = {"tensor(uint8)": "uint8", "tensor(float)": "float32"}


class Tensor(NamedTuple):
    """Name, shape (None or text where it is not fixed) and ONNX type of an input or output."""

    name: str
    shape: Sequence[int | str | None]
    type: str


@dataclass(frozen=True, slots=True)
class InputSpec:
    """What a model wants to be fed. A float pixel is (byte - mean) * scale."""

    name: str
    height: int
    width: int
    layout: Layout = "NHWC"
    color: Colour = "BGR"
    resize: Resize = "stretch"
    dtype: DType = "uint8"
    mean: float = 0.0
    scale: float = 1.0


@dataclass(frozen=True, slots=True)
class ModelCard:
    """How to use a detection model. `threshold` is the score from which a detection counts."""

    decoder: str
    labels: tuple[str, ...]
    threshold: float
    input: InputSpec
    outputs: tuple[str, ...]


def read_card(metadata: Mapping[str, str], inputs: Sequence[Tensor], outputs: Sequence[Tensor]) -> ModelCard:
    """Make the card. Raises ModelError that lists what was seen when something needed is missing."""
    reader = _Reader(metadata, inputs, outputs)
    task = reader.text("task")
    if task != "detect":
        raise reader.error("task", task, "'detect'")
    labels = tuple(label.strip() for label in reader.text("labels").split(","))
    if not all(labels) or len(set(labels)) < len(labels) or len(labels) > MAX_LABELS:
        raise reader.error("labels", reader.text("labels"), "different names separated by commas")
    threshold = reader.number("threshold", 0.4)
    if not 0 < threshold < 1:
        raise reader.error("threshold", str(threshold), "a number between 0 and 1")
    names = tuple(output.name for output in outputs)
    return ModelCard(reader.text("decoder"), labels, threshold, reader.input(), names)


class _Reader:
    """Reads single values; each error shows the whole of what the model says."""

    def __init__(
        self, metadata: Mapping[str, str], inputs: Sequence[Tensor], outputs: Sequence[Tensor]
    ) -> None:
        self._metadata, self._inputs, self._outputs = metadata, inputs, outputs

    def error(self, key: str, found: str, expected: str) -> ModelError:
        keys = ", ".join(f"{name}={value[:60]!r}" for name, value in sorted(self._metadata.items())) or "none"
        tensors = ", ".join(f"{t.name} {t.type} {list(t.shape)}" for t in (*self._inputs, *self._outputs))
        return ModelError(
            f"metadata {PREFIX}{key}: found {found}, expected {expected}. "
            f"The model says: metadata {keys}; tensors {tensors}"
        )

    def text(self, key: str) -> str:
        found = self._metadata.get(PREFIX + key, "")
        if not found:
            raise self.error(key, "nothing", "a value")
        return found

    def number(self, key: str, default: float) -> float:
        found = self._metadata.get(PREFIX + key, str(default))
        try:
            return float(found)
        except ValueError:
            raise self.error(key, repr(found), "a number") from None

    def choice(self, key: str, choices: Sequence[_T]) -> _T:
        found = self._metadata.get(PREFIX + key, choices[0])
        for choice in choices:
            if found == choice:
                return choice
        raise self.error(key, repr(found), " or ".join(choices))

    def input(self) -> InputSpec:
        layouts: tuple[Layout, ...] = ("NHWC", "NCHW")
        colors: tuple[Colour, ...] = ("BGR", "RGB")
        resizes: tuple[Resize, ...] = ("stretch", "letterbox")
        layout = self.choice("input.layout", layouts)
        height, width = self._size(layout)
        return InputSpec(
            name=self._inputs[0].name,
            height=height,
            width=width,
            layout=layout,
            color=self.choice("input.color", colors),
            resize=self.choice("input.resize", resizes),
            dtype=_DTYPES[self._inputs[0].type],
            mean=self.number("input.mean", 0.0),
            scale=self.number("input.scale", 1.0),
        )

    def _size(self, layout: Layout) -> tuple[int, int]:
        """Height and width of the one input, whose shape must be fixed, of one picture of 3 channels."""
        if len(self._inputs) != 1 or self._inputs[0].type not in _DTYPES:
            raise self.error("input", f"{len(self._inputs)} inputs", "one input of uint8 or float")
        shape = tuple(self._inputs[0].shape)
        sides = shape[1:3] if layout == "NHWC" else shape[2:4]
        channels = shape[3:4] if layout == "NHWC" else shape[1:2]
        fixed = [side for side in sides if isinstance(side, int) and 0 < side <= MAX_SIDE]
        if len(shape) != 4 or shape[0] != 1 or channels != (3,) or len(fixed) != 2:
            raise self.error("input.layout", f"{layout} for shape {list(shape)}", "one picture of 3 channels")
        return fixed[0], fixed[1]
