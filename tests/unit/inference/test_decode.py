from dataclasses import replace

import numpy as np
import pytest

from edgecore.base.errors import ModelError
from edgecore.inference.card import InputSpec, ModelCard
from edgecore.inference.decode import MAX_CANDIDATES, centre_peaks, decoder_of, detections
from edgecore.inference.geometry import Box
from edgecore.inference.preprocess import WHOLE, Fit

CARD = ModelCard(
    "centre-peaks", ("vehicle", "pedestrian"), 0.4, InputSpec("image", 240, 320), ("scores", "boxes")
)


def outputs(rows=3, columns=4):
    scores = np.zeros((1, 2, rows, columns), np.float32)
    boxes = np.zeros((1, rows, columns, 4), np.float32)
    return {"scores": scores, "boxes": boxes}


def test_peaks_become_detections_of_their_label():
    out = outputs()
    out["scores"][0, 1, 2, 3] = 0.75
    out["boxes"][0, 2, 3] = [0.125, 0.25, 0.5, 0.75]
    assert centre_peaks(out, CARD, 0.5) == [("pedestrian", 0.75, Box(0.125, 0.25, 0.5, 0.75))]
    assert centre_peaks(out, CARD, 0.8) == []


def test_boxes_are_given_in_the_frame_without_doubles_and_empty_ones():
    out = outputs()
    out["scores"][0, 0, 0, :3] = [0.9, 0.8, 0.7]
    out["boxes"][0, 0, 0] = [0.25, 0.5, 0.5, 0.75]
    out["boxes"][0, 0, 1] = [0.25, 0.5, 0.5, 0.75]
    out["boxes"][0, 0, 2] = [1.5, 0.5, 1.75, 0.75]
    assert len(detections(centre_peaks, out, CARD, WHOLE, 0.5)) == 1
    found = detections(centre_peaks, out, CARD, Fit(0.0, 0.25, 1.0, 0.5), 0.5)
    assert found[0].box == Box(0.25, 0.5, 0.5, 1.0)


def test_of_too_many_candidates_the_best_are_kept():
    out = outputs(20, 20)
    out["scores"][0, 0] = np.linspace(0.5, 0.9, 400).reshape(20, 20)
    found = centre_peaks(out, CARD, 0.5)
    assert len(found) == MAX_CANDIDATES
    assert min(detection.score for detection in found) > 0.59


@pytest.mark.parametrize(
    "out",
    [
        {},
        {"scores": np.zeros((1, 3, 3, 4)), "boxes": np.zeros((1, 3, 4, 4))},
        {"scores": np.zeros((1, 2, 3, 4)), "boxes": np.zeros((1, 3, 5, 4))},
        {"scores": np.zeros((2, 3, 4)), "boxes": np.zeros((1, 3, 4, 4))},
    ],
)
def test_other_outputs_are_refused_and_listed(out):
    with pytest.raises(ModelError, match="found outputs"):
        centre_peaks(out, CARD, 0.5)


def test_an_unknown_decoder_is_refused_with_what_was_seen():
    with pytest.raises(
        ModelError, match=r"found 'yolo', expected centre-peaks.*labels vehicle.*outputs scores"
    ):
        decoder_of(replace(CARD, decoder="yolo"))
    assert decoder_of(CARD) is centre_peaks
