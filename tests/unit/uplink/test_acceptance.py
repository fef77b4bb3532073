"""What is taken from the cloud. The table of what is not is in tests/security/test_class_18_hostile_cloud.py."""

import pytest

from edgecore.base.message import Properties
from edgecore.uplink.acceptance import MAX_USER_PROPERTIES, refuse_incoming
from edgecore.uplink.client import Incoming
from edgecore.uplink.mapping import MAX_PAYLOAD_BYTES, MAX_USER_PROPERTIES_BYTES


def refused(topic="cmd/a/go", payload=b"", qos=1, **properties):
    return refuse_incoming(Incoming(topic, payload, qos, Properties(**properties), None, lambda: None))


def test_what_aws_delivers_is_taken():
    assert refused() == ""
    assert refused("a", b"x" * MAX_PAYLOAD_BYTES, 0, response_topic="reply/to", content_type="json") == ""
    assert refuse_incoming(Incoming("a", b"", 1, None, None, lambda: None)) == ""


@pytest.mark.parametrize(("size", "reason"), [(MAX_USER_PROPERTIES_BYTES, ""), (8193, "above 8192 bytes")])
def test_sizes_are_counted_in_bytes_of_names_and_values(size, reason):
    assert reason in refused(user_properties=(("é", "v" * (size - 2)),))
    assert bool(refused(user_properties=(("é", "v" * (size - 2)),))) == bool(reason)


def test_the_number_of_user_properties_is_bounded_whatever_they_weigh():
    assert refused(user_properties=(("", ""),) * MAX_USER_PROPERTIES) == ""
    assert "more than 256" in refused(user_properties=(("", ""),) * (MAX_USER_PROPERTIES + 1))
