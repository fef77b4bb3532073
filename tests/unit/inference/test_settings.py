import dataclasses

import pytest

from edgecore.inference import InferenceSettings


def test_settings_are_frozen_and_leave_cores_to_the_rest():
    settings = InferenceSettings()
    assert settings.threads == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        settings.threads = 4
