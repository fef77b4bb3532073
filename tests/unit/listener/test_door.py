import dataclasses

import pytest

from edgecore.listener.door import Door


def test_it_is_a_record_that_nobody_changes():
    door = Door(*[None] * len(dataclasses.fields(Door)))
    with pytest.raises(dataclasses.FrozenInstanceError):
        door.clock = 1
