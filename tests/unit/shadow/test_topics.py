import pytest

from edgecore.shadow.topics import ShadowId, parse


@pytest.mark.parametrize("verb", ["get", "update", "delete"])
@pytest.mark.parametrize("shadow", [ShadowId("lamp-1"), ShadowId("a:b_c", "config"), ShadowId("t", "$s:_-9")])
def test_there_and_back(shadow, verb):
    assert parse(shadow.topic(verb)) == (shadow, verb)


@pytest.mark.parametrize(
    "topic",
    [
        "$aws/things/t/shadow",
        "$aws/things/t/shadow/",
        "$aws/things/t/shadow/update/accepted",
        "$aws/things/t/shadow/peek",
        "$aws/things//shadow/get",
        "$aws/things/a b/shadow/get",
        f"$aws/things/{'t' * 129}/shadow/get",
        "$aws/things/t/shadow/name/get",
        "$aws/things/t/shadow/name//get",
        "$aws/things/t/shadow/name/a.b/get",
        f"$aws/things/t/shadow/name/{'s' * 65}/get",
        "$aws/things/t/shadow/name/s/list",
        "$aws/things/t/jobs/get",
        "aws/things/t/shadow/get",
        "",
    ],
)
def test_what_is_no_request(topic):
    assert parse(topic) is None


def test_as_aws_quotes_it():
    assert str(ShadowId("t")) == "t"
    assert str(ShadowId("t", "n")) == "t~n"
