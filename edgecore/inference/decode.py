"""From a model's outputs to detections: a decoder for each family, chosen by the model's metadata.

Pure arrays. A family that is not in the table is refused, with what the model says.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edgecore.base.errors import ModelError
from edgecore.inference.card import ModelCard
from edgecore.inference.detection import Detection
from edgecore.inference.geometry import Box
from edgecore.inference.nms import suppress
from edgecore.inference.preprocess import Fit

Outputs = Mapping[str, NDArray[Any]]
Decoder = Callable[[Outputs, ModelCard, float], list[Detection]]

MAX_CANDIDATES = 300
"""Before suppression, best first: the usual bound of detectors, and 0.1 ms of suppression."""
OVERLAP = 0.5
"""IoU from which two boxes of a label are the same object."""


def decoder_of(card: ModelCard) -> Decoder:
    """The decoder that the model asks for. Raises ModelError with what was seen when there is none."""
    decoder = DECODERS.get(card.decoder)
    if decoder is None:
        raise ModelError(
            f"metadata edgecore.decoder: found {card.decoder!r}, expected {', '.join(sorted(DECODERS))}. "
            f"The model says: labels {', '.join(card.labels)}; outputs {', '.join(card.outputs)}"
        )
    return decoder


def detections(
    decoder: Decoder, outputs: Outputs, card: ModelCard, fit: Fit, floor: float
) -> list[Detection]:
    """Detections scored at least `floor`, in fractions of the frame, best first, without doubles."""
    found = decoder(outputs, card, floor)
    in_frame = [Detection(label, score, fit.to_frame(box)) for label, score, box in found]
    return suppress([detection for detection in in_frame if detection.box.area > 0], OVERLAP)


def centre_peaks(outputs: Outputs, card: ModelCard, floor: float) -> list[Detection]:
    """Peaks of centre maps.

    `scores` (1, labels, rows, columns) is 0 beside peaks; `boxes` (1, rows, columns, 4) are fractions of
    the input: left, top, right, bottom. Raises ModelError when the outputs have other names or shapes.
    """
    scores, boxes = outputs.get("scores"), outputs.get("boxes")
    if scores is None or boxes is None or not _fit_together(scores, boxes, len(card.labels)):
        seen = ", ".join(f"{name} {list(array.shape)}" for name, array in outputs.items())
        raise ModelError(
            f"decoder centre-peaks: found outputs {seen}; expected scores [1, {len(card.labels)}, rows, "
            "columns] and boxes [1, rows, columns, 4]"
        )
    label, row, column = np.nonzero(scores[0] >= floor)
    if len(label) > MAX_CANDIDATES:
        best = np.argsort(-scores[0][label, row, column], kind="stable")[:MAX_CANDIDATES]
        label, row, column = label[best], row[best], column[best]
    values = scores[0][label, row, column].tolist()
    edges = boxes[0][row, column].tolist()
    found = zip(label.tolist(), values, edges, strict=True)
    return [Detection(card.labels[index], value, Box(*edge)) for index, value, edge in found]


def _fit_together(scores: NDArray[Any], boxes: NDArray[Any], labels: int) -> bool:
    if scores.ndim != 4 or boxes.ndim != 4:
        return False
    return scores.shape[:2] == (1, labels) and boxes.shape == (1, *scores.shape[2:], 4)


DECODERS: Mapping[str, Decoder] = {"centre-peaks": centre_peaks}
