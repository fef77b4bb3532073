import dataclasses

import numpy as np
import pytest

from edgecore.inference.frames import Frame


def test_a_frame_is_frozen():
    frame = Frame(1, 2.0, np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(dataclasses.FrozenInstanceError):
        frame.number = 2
