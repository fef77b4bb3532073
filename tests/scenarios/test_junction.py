"""The whole junction, as `make run` starts it. One at a time: each needs a processor for itself."""

import pytest

pytestmark = pytest.mark.xdist_group("junction")


def agreed(code, tallies, err):
    assert tallies is not None, err
    assert (code, tallies["agree"], tallies["reasons"]) == (0, True, []), err
    messages = tallies["messages"]
    assert messages["lost"] == messages["altered"] == messages["unacknowledged"] == 0
    assert messages["published"] == messages["acknowledged"] == messages["arrived"] > 100
    assert tallies["devices"] >= 20
    assert tallies["shadows"]["converged"] == tallies["shadows"]["things"] == 4
    assert tallies["timings"] > 0
    assert tallies["cameras"]["north"]["expected"] > 0
    return tallies


def test_everything_agrees(demonstration):
    tallies = agreed(*demonstration("--for", "8s"))
    assert tallies["connects"] == tallies["devices"]
    assert len(tallies["cameras"]["north"]["intervals"]) == 1
    assert tallies["messages"]["duplicates"] == 0


def test_it_agrees_after_a_cloud_outage(demonstration):
    tallies = agreed(*demonstration("--for", "8s", "--cloud-outage", "3s"))
    outage = tallies["outage"]
    assert outage["outbox_peak"] > outage["outbox_before"] + 50
    assert tallies["connects"] == tallies["devices"]  # the devices never noticed


def test_it_agrees_after_the_core_was_killed(demonstration):
    tallies = agreed(*demonstration("--for", "8s", "--kill-core"))
    assert tallies["kill"]["down_seconds"] > 0
    before, after = tallies["cameras"]["north"]["intervals"]
    assert tallies["cameras"]["north"]["gaps"] == [
        {"last_before": before["last"], "first_after": after["first"]}
    ]
    assert tallies["connects"] == 2 * tallies["devices"]
