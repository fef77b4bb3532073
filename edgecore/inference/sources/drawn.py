"""Which scene a `synthetic:` source shows.

Pure, and free of OpenCV: who only wants the truth needs no picture.
"""

from __future__ import annotations

from edgecore.base.errors import FrameSourceError
from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.parameters import Light, SceneParameters, draw_scene
from edgecore.inference.sources.address import Address

OPTIONS = ("seed", "scene", "fps", "epoch")
SCENES = {"day": Light.DAY, "night": Light.NIGHT, "any": None}
LARGEST_SEED = 2**53
"""Beyond it a float no longer holds every whole number."""


def scene_of(address: Address) -> SceneParameters:
    """The scene that an address names. Its looks are held out from training (scenes/draws.py).

    Raises FrameSourceError for another name or option than there is.
    """
    address.only(OPTIONS)
    if address.rest != "traffic":
        raise FrameSourceError(f"source {address.text!r}: found scene {address.rest!r}, expected 'traffic'")
    light = address.options.get("scene", "day")
    if light not in SCENES:
        raise FrameSourceError(
            f"source {address.text!r}: scene is {light!r}, expected {', '.join(sorted(SCENES))}"
        )
    seed = address.number("seed", 0.0, 0, LARGEST_SEED)
    if not seed.is_integer():
        raise FrameSourceError(f"source {address.text!r}: seed is {seed}, expected a whole number")
    return draw_scene(int(seed), Split.HELD_OUT, SCENES[light])
