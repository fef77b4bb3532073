import numpy as np
import pytest

from edgecore.inference.scenes.draws import (
    BANDS,
    HELD_OUT_BANDS,
    TRAINING_BANDS,
    Draws,
    Split,
    mix,
    noise_field,
)


def test_the_same_keys_give_the_same_value_and_others_another():
    draws = Draws(7, Split.TRAINING)
    assert draws.unit("speed", 1, 2) == Draws(7, Split.HELD_OUT).unit("speed", 1, 2)
    values = {draws.unit("speed", lane) for lane in range(100)} | {draws.unit("width", 1)}
    assert len(values) == 101


def test_the_hash_is_the_same_everywhere_and_for_ever():
    # A scene of a seed must stay what it is: recorded runs refer to it.
    assert mix(1, 2, 3) == 0x6AE515C1C0AC7E37
    assert mix(0) != mix(0, 0)


def test_training_and_held_out_values_never_meet():
    assert set(TRAINING_BANDS) | set(HELD_OUT_BANDS) == set(range(BANDS))
    for split, bands in ((Split.TRAINING, TRAINING_BANDS), (Split.HELD_OUT, HELD_OUT_BANDS)):
        draws = Draws(1, split)
        found = {int(draws.between(0, BANDS, "x", index)) for index in range(1000)}
        assert found == set(bands)


def test_choices_are_those_of_the_split():
    assert {Draws(1, Split.TRAINING).pick("ab", "c", "x", i) for i in range(50)} == {"a", "b"}
    assert {Draws(1, Split.HELD_OUT).pick("ab", "c", "x", i) for i in range(50)} == {"c"}


def test_noise_is_about_normal_and_depends_on_its_key():
    field = noise_field(5, 100, 80, 3)
    assert field.shape == (100, 80, 3)
    assert field.mean() == pytest.approx(0, abs=0.02)
    assert field.std() == pytest.approx(1, abs=0.02)
    assert np.array_equal(field, noise_field(5, 100, 80, 3))
    assert not np.array_equal(field, noise_field(6, 100, 80, 3))
