"""Non-maximum suppression: of boxes that overlap, the one with the best score stays. Pure."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from edgecore.inference.detection import Detection


def suppress(detections: Sequence[Detection], overlap: float) -> list[Detection]:
    """The detections that stay, best first: none overlaps a better one of its label by more (IoU)."""
    order = sorted(range(len(detections)), key=lambda i: (-detections[i].score, i))
    ranked = [detections[i] for i in order]
    if len(ranked) < 2:
        return ranked
    clashes = _overlaps(ranked) > overlap
    gone = np.zeros(len(ranked), bool)
    for i in range(len(ranked)):
        if not gone[i]:
            gone[i + 1 :] |= clashes[i, i + 1 :]
    return [detection for detection, lost in zip(ranked, gone, strict=True) if not lost]


def _overlaps(detections: Sequence[Detection]) -> NDArray[np.float64]:
    """IoU of every pair, 0 for pairs of different labels."""
    boxes = np.array([detection.box for detection in detections], np.float64)
    labels = np.array([detection.label for detection in detections])
    low = np.maximum(boxes[:, None, :2], boxes[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], boxes[None, :, 2:])
    shared = (high - low).clip(min=0).prod(axis=2)
    areas = (boxes[:, 2:] - boxes[:, :2]).clip(min=0).prod(axis=1)
    union = areas[:, None] + areas[None, :] - shared
    found = np.divide(shared, union, out=np.zeros_like(shared), where=union > 0)
    return np.where(labels[:, None] == labels[None, :], found, 0.0)
