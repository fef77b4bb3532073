import pytest

from edgecore.inference.geometry import iou
from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.parameters import draw_scene
from edgecore.inference.scenes.schedule import PEDESTRIAN, VEHICLE, Schedule


@pytest.mark.parametrize("seed", [1, 8, 21])
@pytest.mark.parametrize("split", list(Split))
def test_no_two_objects_overlap(seed, split):
    schedule = Schedule(draw_scene(seed, split))
    for frame in range(0, 1500, 5):
        boxes = [mover.box(frame) for mover in schedule.alive(frame)]
        assert all(iou(one, other) == 0 for i, one in enumerate(boxes) for other in boxes[:i])


def test_any_frame_can_be_asked_for_first():
    late = Schedule(draw_scene(3)).alive(5_000_000)
    schedule = Schedule(draw_scene(3))
    for frame in (0, 700, 4_999_000, 3, 5_000_000):
        found = schedule.alive(frame)
    assert found == late


def test_objects_are_alive_exactly_while_some_part_is_in_the_picture():
    schedule = Schedule(draw_scene(3))
    movers = schedule.between(1000, 1400)
    assert {mover.label for mover in movers} == {VEHICLE, PEDESTRIAN}
    assert len({mover.id for mover in movers}) == len(movers)
    for mover in movers:
        assert mover.visible(mover.first - 1) == mover.visible(mover.last + 1) == 0
        assert mover.visible(mover.first + 1) > 0
        assert mover.visible(mover.last - 1) > 0
        assert mover.visible((mover.first + mover.last) // 2) == pytest.approx(1)


def test_alive_and_between_agree():
    schedule = Schedule(draw_scene(11))
    one_by_one = {mover.id for frame in range(900, 1000) for mover in schedule.alive(frame)}
    assert one_by_one == {mover.id for mover in schedule.between(900, 999)}
