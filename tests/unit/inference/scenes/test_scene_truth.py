from edgecore.inference.geometry import Point
from edgecore.inference.scenes.parameters import draw_scene
from edgecore.inference.scenes.schedule import Schedule
from edgecore.inference.scenes.truth import crossings, objects

STOP = {"stop": (Point(0.0, 0.65), Point(1.0, 0.65))}


def test_boxes_lie_in_the_frame():
    schedule = Schedule(draw_scene(7))
    for frame in range(0, 800, 7):
        for one in objects(schedule, frame):
            assert 0 <= one.box.left <= one.box.right <= 1
            assert 0 <= one.box.top <= one.box.bottom <= 1
            assert 0 <= one.visible <= 1.0001


def test_each_vehicle_crosses_a_line_over_the_whole_road_once_in_its_direction():
    schedule = Schedule(draw_scene(7))
    found = crossings(schedule, STOP, 0, 2000)
    assert len({crossing.id for crossing in found}) == len(found) > 20
    movers = {mover.id: mover for mover in schedule.between(0, 2000)}
    assert all((crossing.direction == "in") == (movers[crossing.id].speed > 0) for crossing in found)


def test_a_crossing_is_the_first_frame_beyond():
    schedule = Schedule(draw_scene(7))
    first = crossings(schedule, STOP, 0, 2000)[0]
    before, after = (
        next(one.box.bottom for one in objects(schedule, frame) if one.id == first.id)
        for frame in (first.frame - 1, first.frame)
    )
    assert (before < 0.65) != (after < 0.65)


def test_a_line_beside_the_road_is_crossed_by_nobody_but_walkers():
    lines = {"verge": (Point(0.02, 0.0), Point(0.02, 1.0))}
    assert {c.label for c in crossings(Schedule(draw_scene(7)), lines, 0, 2000)} == {"pedestrian"}
