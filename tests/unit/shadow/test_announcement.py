"""What the cloud says of a shadow, read. More of what is refused: tests/security/test_class_18_hostile_cloud.py."""

import pytest

from edgecore.shadow.announcement import MAX_NUMBER, MAX_SHOWN, read


def nested(levels):
    return b'{"state":{"desired":' + b'{"a":' * levels + b"1" + b"}" * levels + b"}}"


def test_what_aws_says_is_read():
    said = read(b'{"state":{"desired":{"a":1},"delta":{"a":1}},"version":3,"timestamp":1,"clientToken":"t"}')
    assert (said.state, said.version, said.clientToken) == ({"desired": {"a": 1}, "delta": {"a": 1}}, 3, "t")
    assert read(b'{"version":%d}' % MAX_NUMBER).version == MAX_NUMBER
    assert read(nested(8)).state is not None
    assert read(b'{"state":{"desired":null}}').state == {"desired": None}


@pytest.mark.parametrize(
    ("payload", "reason"),
    [
        (b"", "truncated"),
        (b'{"message":"\xff"}', "utf-8"),
        (b" " * (128 * 1024 + 1), "131073 bytes"),
        (nested(20_000), "nests"),
        (nested(9), "more than 8 levels"),
        (b'{"version":-1}', "no number"),
        (b'{"version":%d}' % (MAX_NUMBER + 1), "no number"),
        (b'{"code":%d}' % (MAX_NUMBER + 1), "no number"),
    ],
)
def test_what_is_no_announcement_is_refused_with_a_reason(payload, reason):
    with pytest.raises(ValueError, match=reason):
        read(payload)


def test_the_clouds_own_words_are_cut():
    assert len(read(b'{"code":500,"message":"%s"}' % (b"x" * 1000)).message) == MAX_SHOWN
