"""The picture made of characters."""

from edgecore.sim.picture import COLUMNS, ROWS, picture
from edgecore.sim.snapshot import CameraView


def drawn(*objects, **lines):
    return picture(CameraView("north", 1, 10.0, 6.0, objects, lines, {})).plain.split("\n")


def found(label, *box):
    return {"label": label, "box": list(box)}


def test_an_empty_picture_is_ground():
    assert drawn() == ["·" * COLUMNS] * ROWS


def test_objects_are_where_their_boxes_are():
    rows = drawn(found("vehicle", 0.5, 0.5, 0.75, 1.0))
    assert all(row == "·" * COLUMNS for row in rows[: round(ROWS * 0.5)])
    half, quarter = round(COLUMNS * 0.5), round(COLUMNS * 0.75)
    assert rows[-1] == "·" * half + "█" * (quarter - half) + "·" * (COLUMNS - quarter)


def test_a_small_object_at_the_edge_is_still_seen():
    assert drawn(found("pedestrian", 0.999, 0.999, 1.0, 1.0))[-1][-1] == "▓"
    assert drawn(found("dog", 0.0, 0.0, 0.001, 0.001))[0][0] == "■"


def test_lines_are_drawn_and_objects_stand_before_them():
    rows = drawn(
        found("vehicle", 0.0, 0.6, 0.1, 0.8), stop=((0.0, 0.65), (1.0, 0.65)), walk=((0.5, 0.0), (0.5, 0.4))
    )
    (stop,) = [row for row in rows if "╌" in row]
    assert stop.startswith("█")
    assert stop.strip("█") == "╌" * (COLUMNS - stop.count("█"))
    assert [row[COLUMNS // 2] for row in rows[:6]] == ["╎"] * 6
