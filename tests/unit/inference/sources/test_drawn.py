import pytest

from edgecore.base.errors import FrameSourceError
from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.parameters import Light
from edgecore.inference.sources.address import parse_address
from edgecore.inference.sources.drawn import scene_of


def test_a_scene_by_seed_and_light_is_held_out_from_training():
    scene = scene_of(parse_address("synthetic:traffic?seed=7&scene=night"))
    assert (scene.draws.seed, scene.draws.split, scene.lighting.light) == (7, Split.HELD_OUT, Light.NIGHT)
    assert scene_of(parse_address("synthetic:traffic")).lighting.light is Light.DAY


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("synthetic:beach", "expected 'traffic'"),
        ("synthetic:traffic?scene=noon", "expected any, day, night"),
        ("synthetic:traffic?seed=1.5", "expected a whole number"),
        ("synthetic:traffic?seed=-1", "expected a number"),
        ("synthetic:traffic?speed=1", "did you mean 'seed'"),
    ],
)
def test_what_there_is_not_is_refused(text, reason):
    with pytest.raises(FrameSourceError, match=reason):
        scene_of(parse_address(text))
