"""Reading a core's status."""

import pytest

from edgecore.sim import status as read

STATUS = {
    "units": {
        "uplink": {
            "state": "running",
            "restarts": 1,
            "status": {"connected": True, "outbox": {"records": 7}},
        },
        "inference": {
            "state": "running",
            "restarts": 2,
            "status": {
                "cameras": {
                    "north": {"state": "running", "reason": "", "first_frame": 5, "frame": 9, "frames": 5}
                }
            },
        },
    }
}


def test_what_a_status_says():
    assert read.states(STATUS) == {"uplink": "running", "inference": "running"}
    assert read.restarts(STATUS) == 3
    assert read.outbox_depth(STATUS) == 7
    assert read.cloud_connected(STATUS)
    assert read.camera_faults(STATUS) == []


@pytest.mark.parametrize("status", [None, {}, {"units": {}}, {"units": {"uplink": {"state": "broken"}}}])
def test_what_a_status_does_not_say(status):
    assert read.outbox_depth(status) is None
    assert not read.cloud_connected(status)
    assert read.camera_faults(status) == []


def test_a_unit_that_crashed_or_stands_is_a_fault():
    units = {
        "store": {"state": "running", "restarts": 0, "reason": ""},
        "shadow": {"state": "running", "restarts": 2, "reason": "KeyError: 'x'"},
        "lambdas": {"state": "broken", "restarts": 5, "reason": "no interpreter"},
    }
    assert read.unit_faults({"units": units}) == [
        "unit shadow crashed 2 times: KeyError: 'x'",
        "unit lambdas is broken: no interpreter",
    ]
    assert read.unit_faults(None) == []


def test_a_camera_that_left_frames_out_or_stands_is_a_fault():
    def faults(**camera):
        given = {"state": "running", "reason": "", "first_frame": 5, "frame": 9, "frames": 5} | camera
        return read.camera_faults({"units": {"inference": {"status": {"cameras": {"north": given}}}}})

    assert "left frames out" in faults(frames=4)[0]
    assert faults(state="broken", reason="no model") == ["camera north is broken: no model"]
