"""AWS IoT policies, by tables: action, resource, context -> allowed or not."""

import pytest

from edgecore.base.errors import ConfigError
from edgecore.sim.cloud.policy import decide, read_policy

ARN = "arn:aws:iot:eu-west-1:123456789012:"


def policy(*statements, name="p"):
    return read_policy(name, {"Version": "2012-10-17", "Statement": list(statements)})


def allow(action, resource, **more):
    return {"Effect": "Allow", "Action": action, "Resource": resource, **more}


def deny(action, resource, **more):
    return {"Effect": "Deny", "Action": action, "Resource": resource, **more}


def context(**variables):
    """Variables by short names; values are texts or tuples of texts."""
    names = {
        "client": "iot:clientid",
        "thing": "iot:connection.thing.thingname",
        "kind": "iot:connection.thing.thingtypename",
        "lane": "iot:connection.thing.attributes[lane]",
        "attached": "iot:connection.thing.isattached",
        "cn": "iot:certificate.subject.commonname",
        "org1": "iot:certificate.subject.organization.1",
        "ip": "aws:sourceip",
        "attributes": "iot:connectattributes",
        "will": "iot:lastwilltopic",
    }
    return {names[key]: value if isinstance(value, tuple) else (value,) for key, value in variables.items()}


ATTACHED = {"Bool": {"iot:Connection.Thing.IsAttached": ["true"]}}
PERSISTENT = {"ForAnyValue:StringEquals": {"iot:ConnectAttributes": ["PersistentConnect"]}}
ONLY_WILLS = {"ForAllValues:StringEquals": {"iot:ConnectAttributes": ["LastWill"]}}


class TestEvaluation:
    def test_denied_unless_allowed(self):
        assert not decide([], "iot:Publish", "topic/a", {})
        assert not decide([policy(allow("iot:Subscribe", "*"))], "iot:Publish", "topic/a", {})

    @pytest.mark.parametrize("order", [1, -1])
    def test_an_explicit_deny_wins_in_any_order_and_from_any_policy(self, order):
        both = [policy(allow("iot:*", "*")), policy(deny("iot:Publish", ARN + "topic/a"))][::order]
        assert not decide(both, "iot:Publish", "topic/a", {})
        assert decide(both, "iot:Publish", "topic/b", {})

    @pytest.mark.parametrize(
        ("written", "asked", "expected"),
        [
            ("iot:Publish", "iot:Publish", True),
            ("iot:publish", "iot:Publish", True),
            ("iot:*", "iot:Publish", True),
            ("*", "iot:Publish", True),
            ("iot:P*", "iot:Publish", True),
            ("iot:RetainPublish", "iot:Publish", False),
            ("iot:Publish", "iot:RetainPublish", False),
            (["iot:Connect", "iot:Publish"], "iot:Publish", True),
        ],
    )
    def test_actions(self, written, asked, expected):
        assert decide([policy(allow(written, "*"))], asked, "topic/a", {}) is expected

    def test_not_action_and_not_resource(self):
        but = policy({"Effect": "Allow", "NotAction": "iot:Publish", "Resource": "*"})
        assert not decide([but], "iot:Publish", "topic/a", {})
        assert decide([but], "iot:Receive", "topic/a", {})
        but = policy({"Effect": "Allow", "Action": "iot:*", "NotResource": ARN + "topic/secret/*"})
        assert not decide([but], "iot:Publish", "topic/secret/a", {})
        assert decide([but], "iot:Publish", "topic/a", {})


class TestWildcards:
    @pytest.mark.parametrize(
        ("resource", "asked", "expected"),
        [
            ("topic/a/b", "topic/a/b", True),
            ("topic/a/*", "topic/a/b/c", True),  # * crosses levels
            ("topic/a/*", "topic/a/", True),
            ("topic/a/*", "topic/a", False),
            ("topic/a?", "topic/ab", True),
            ("topic/a?", "topic/a", False),
            ("topic/a?", "topic/abc", False),
            ("topic/*/x", "topic/a/b/x", True),
            ("*", "topic/a", True),
            # + and # are plain characters
            ("topicfilter/some/+/topic", "topicfilter/some/+/topic", True),
            ("topicfilter/some/+/topic", "topicfilter/some/one/topic", False),
            ("topicfilter/a/#", "topicfilter/a/#", True),
            ("topicfilter/a/#", "topicfilter/a/b", False),
            ("topicfilter/a/*", "topicfilter/a/#", True),
            # and so are a regular expression's
            ("topic/a.b", "topic/axb", False),
            ("topic/(a|b)", "topic/a", False),
        ],
    )
    def test_resources(self, resource, asked, expected):
        assert decide([policy(allow("*", ARN + resource))], "iot:Publish", asked, {}) is expected
        if resource != "*":
            assert decide([policy(allow("*", resource))], "iot:Publish", asked, {}) is expected

    def test_a_deny_of_a_filter_does_not_stop_a_wider_one_but_receive_does(self):
        loose = policy(allow("iot:*", "*"), deny("iot:Subscribe", ARN + "topicfilter/a/restricted/*"))
        assert not decide([loose], "iot:Subscribe", "topicfilter/a/restricted/x", {})
        assert decide([loose], "iot:Subscribe", "topicfilter/a/#", {})
        tight = policy(allow("iot:*", "*"), deny("iot:Receive", ARN + "topic/a/restricted/*"))
        assert not decide([tight], "iot:Receive", "topic/a/restricted/x", {})

    def test_any_region_and_account_will_do(self):
        one = policy(allow("*", "arn:aws-cn:iot:cn-north-1:1:topic/a:b"))
        assert decide([one], "iot:Publish", "topic/a:b", {})


class TestVariables:
    @pytest.mark.parametrize(
        ("resource", "given", "asked", "expected"),
        [
            ("client/${iot:ClientId}", {"client": "lamp"}, "client/lamp", True),
            ("client/${iot:ClientId}", {"client": "lamp"}, "client/other", False),
            ("topic/${iot:Connection.Thing.ThingName}/*", {"thing": "lamp"}, "topic/lamp/a", True),
            ("topic/${iot:Connection.Thing.ThingName}/*", {}, "topic/lamp/a", False),
            ("topic/${iot:Connection.Thing.ThingTypeName}", {"kind": "Lamp"}, "topic/Lamp", True),
            ("topic/${iot:Connection.Thing.Attributes[lane]}", {"lane": "north"}, "topic/north", True),
            ("topic/${iot:Certificate.Subject.CommonName}", {"cn": "gate"}, "topic/gate", True),
            ("topic/${iot:Certificate.Subject.Organization.1}", {"org1": "second"}, "topic/second", True),
            # not resolved: left as text, so that the match fails
            ("topic/${iot:Unknown}", {"client": "lamp"}, "topic/lamp", False),
            ("topic/${iot:Unknown}", {}, "topic/${iot:Unknown}", True),
            # values that are not put in
            ("topic/${iot:ClientId}", {"client": "a*"}, "topic/a*", False),
            ("topic/${iot:ClientId}", {"client": "+"}, "topic/+", False),
            ("topic/${iot:ClientId}", {"client": "#"}, "topic/#", False),
            ("topic/${iot:ClientId}", {"client": "a?"}, "topic/a?", False),
            ("topic/${iot:ClientId}", {"client": "$a"}, "topic/$a", False),
            ("topic/${iot:ClientId}", {"client": "x" * 1025}, "topic/" + "x" * 1025, False),
            ("topic/${iot:ClientId}", {"client": "x" * 1024}, "topic/" + "x" * 1024, True),
            # a value is text, not a pattern
            ("topic/${iot:ClientId}", {"client": "a.b"}, "topic/axb", False),
            # IAM's plain characters
            ("topic/${*}", {}, "topic/*", True),
            ("topic/${*}", {}, "topic/a", False),
            ("topic/${$}aws", {}, "topic/$aws", True),
        ],
    )
    def test_in_resources(self, resource, given, asked, expected):
        one = policy(allow("*", ARN + resource))
        assert decide([one], "iot:Publish", asked, context(**given)) is expected

    def test_names_are_read_without_case(self):
        one = policy(allow("*", ARN + "client/${iot:clientid}"))
        assert decide([one], "iot:Connect", "client/a", context(client="a"))


class TestConditions:
    @pytest.mark.parametrize(
        ("condition", "given", "expected"),
        [
            (ATTACHED, {"attached": "true"}, True),
            (ATTACHED, {"attached": "false"}, False),
            (ATTACHED, {}, False),
            (
                {"StringEquals": {"iot:ClientId": "${iot:Certificate.Subject.CommonName}"}},
                {"client": "a", "cn": "a"},
                True,
            ),
            (
                {"StringEquals": {"iot:ClientId": "${iot:Certificate.Subject.CommonName}"}},
                {"client": "a", "cn": "b"},
                False,
            ),
            ({"StringEquals": {"iot:clientid": ["a", "b"]}}, {"client": "b"}, True),
            ({"StringNotEquals": {"iot:ClientId": ["a", "b"]}}, {"client": "b"}, False),
            ({"StringNotEquals": {"iot:ClientId": ["a", "b"]}}, {"client": "c"}, True),
            ({"StringNotEquals": {"iot:ClientId": "a"}}, {}, True),
            ({"StringEqualsIgnoreCase": {"iot:ClientId": "A"}}, {"client": "a"}, True),
            ({"StringLike": {"iot:ClientId": "gate-*"}}, {"client": "gate-7"}, True),
            ({"StringNotLike": {"iot:ClientId": "gate-*"}}, {"client": "gate-7"}, False),
            ({"StringEqualsIfExists": {"iot:ClientId": "a"}}, {}, True),
            ({"ArnLike": {"iot:LastWillTopic": "arn:*:topic/x"}}, {"will": "arn:aws:topic/x"}, True),
            ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"ip": "10.1.2.3"}, True),
            ({"IpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"ip": "192.0.2.1"}, False),
            ({"NotIpAddress": {"aws:SourceIp": "10.0.0.0/8"}}, {"ip": "192.0.2.1"}, True),
            ({"IpAddress": {"aws:SourceIp": "nonsense"}}, {"ip": "192.0.2.1"}, False),
            (PERSISTENT, {"attributes": ("PersistentConnect", "LastWill")}, True),
            (PERSISTENT, {"attributes": ("LastWill",)}, False),
            (PERSISTENT, {}, False),
            (ONLY_WILLS, {"attributes": ("LastWill",)}, True),
            (ONLY_WILLS, {"attributes": ("PersistentConnect", "LastWill")}, False),
            (ONLY_WILLS, {}, True),
            (
                {"StringEquals": {"iot:LastWillTopic": "gone/${iot:ClientId}"}},
                {"will": "gone/a", "client": "a"},
                True,
            ),
        ],
    )
    def test_table(self, condition, given, expected):
        one = policy(allow("iot:Connect", "*", Condition=condition))
        assert decide([one], "iot:Connect", "client/a", context(**given)) is expected

    def test_an_allow_without_condition_allows_every_attribute_and_a_deny_takes_persistence_away(self):
        plain = policy(allow("iot:Connect", "*"))
        both = context(attributes=("PersistentConnect", "LastWill"))
        assert decide([plain], "iot:Connect", "client/a", both)
        denied = policy(allow("iot:Connect", "*"), deny("iot:Connect", "*", Condition=PERSISTENT))
        assert not decide([denied], "iot:Connect", "client/a", both)
        assert decide([denied], "iot:Connect", "client/a", context(attributes=("LastWill",)))


class TestReading:
    @pytest.mark.parametrize(
        ("statement", "where"),
        [
            ({"Effect": "allow", "Action": "*", "Resource": "*"}, r"Statement\[0\].Effect"),
            ({"Effect": "Allow", "Resource": "*"}, "no Action"),
            ({"Effect": "Allow", "Action": "*"}, "no Resource"),
            ({"Effect": "Allow", "Action": "*", "NotAction": "*", "Resource": "*"}, "Action and NotAction"),
            ({"Effect": "Allow", "Action": [], "Resource": "*"}, "Action"),
            ({"Effect": "Allow", "Action": 1, "Resource": "*"}, "Action"),
            ({"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}, "Principal"),
            ({"Effect": "Allow", "Action": "*", "Resource": "*", "Condition": []}, "Condition"),
            (allow("*", "*", Condition={"DateGreaterThan": {"a": "b"}}), "DateGreaterThan"),
            (allow("*", "*", Condition={"Some:StringEquals": {"a": "b"}}), "Some:StringEquals"),
            ("nonsense", r"Statement\[0\]"),
        ],
    )
    def test_errors_name_the_place(self, statement, where):
        with pytest.raises(ConfigError, match=where):
            policy(statement, name="devices.json")

    def test_no_object(self):
        with pytest.raises(ConfigError, match="expected a policy"):
            read_policy("p", [])

    def test_one_statement_needs_no_list(self):
        one = read_policy("p", {"Version": "2012-10-17", "Statement": allow("iot:*", "*")})
        assert decide([one], "iot:Publish", "topic/a", {})

    def test_2048_characters_without_white_space(self):
        spaces = allow("iot:Publish", ["topic/a" + " " * 3000])
        policy(spaces)
        with pytest.raises(ConfigError, match="2048"):
            policy(allow("iot:Publish", ["topic/" + "a" * 2000]))
