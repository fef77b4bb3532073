"""deploy/aws: the script with an AWS CLI that only notes what it is asked, and what the templates say."""

import json
import re
import stat
import subprocess
from pathlib import Path

import pytest

from edgecore.sim.cloud.policy import decide, read_policy

AWS = Path(__file__).parents[2] / "deploy" / "aws"
ARN = "arn:aws:iot:eu-west-1:123456789012"
# Answers as the AWS CLI prints them with --query and --output text.
CLI = f"""#!/bin/sh
echo "$@" >> "$CALLS"
while [ $# -gt 0 ]; do
  case $1 in
    --certificate-pem-outfile) echo CERT > "$2" ;;
    --private-key-outfile) echo KEY > "$2" ;;
    create-thing) echo {ARN}:thing/core-7 ;;
    create-keys-and-certificate) echo {ARN}:cert/abc ;;
    iot:Data-ATS) echo x-ats.iot.eu-west-1.amazonaws.com ;;
    iot:CredentialProvider) echo x.credentials.iot.eu-west-1.amazonaws.com ;;
  esac
  shift
done
"""
CURL = """#!/bin/sh
while [ "$1" != -o ]; do shift; done
echo CA > "$2"
"""


@pytest.fixture
def new_core(tmp_path):
    """Run the script with the stand-ins on PATH: exit code, what it said, what the CLI was asked."""
    tools, calls = tmp_path / "bin", tmp_path / "calls"
    tools.mkdir()

    def run(*arguments, commands=("aws", "curl")):
        calls.write_text("")
        for name, text in {"aws": CLI, "curl": CURL}.items():
            (tools / name).unlink(missing_ok=True)
            if name in commands:
                (tools / name).write_text(text)
                (tools / name).chmod(0o755)
        environment = {"PATH": f"{tools}:/usr/bin:/bin", "CALLS": str(calls)}
        script = [str(AWS / "new-core.sh"), *map(str, arguments)]
        done = subprocess.run(script, env=environment, capture_output=True, text=True, check=False)
        return done.returncode, done.stderr, calls.read_text().splitlines()

    return run


def test_a_core_is_made_known(new_core, tmp_path):
    folder = tmp_path / "aws"
    code, said, calls = new_core("core-7", folder)
    assert code == 0, said
    assert [call.split()[1] for call in calls] == [
        "create-thing",
        "create-keys-and-certificate",
        "create-policy",
        "attach-policy",
        "attach-thing-principal",
        "describe-endpoint",
        "describe-endpoint",
    ]
    assert f"attach-policy --policy-name edgecore-core-7 --target {ARN}:cert/abc" in calls[3]
    assert stat.S_IMODE((folder / "core-7.key.pem").stat().st_mode) == 0o600
    assert (folder / "ca.pem").read_text() == "CA\n"
    assert "edgecore init --thing core-7 --cloud x-ats.iot.eu-west-1.amazonaws.com" in said
    assert 'credentials_endpoint = "x.credentials.iot.eu-west-1.amazonaws.com"' in said
    policy = json.loads((folder / "core-7.policy.json").read_text())
    resources = [
        each
        for statement in policy["Statement"]
        for each in (
            [statement["Resource"]] if isinstance(statement["Resource"], str) else statement["Resource"]
        )
    ]
    assert all(each.startswith(f"{ARN}:") for each in resources)
    assert f"{ARN}:client/core-7" in resources


def test_what_is_there_is_not_overwritten(new_core, tmp_path):
    (tmp_path / "core-7.key.pem").write_text("mine")
    code, said, calls = new_core("core-7", tmp_path)
    assert (code, calls) == (1, [])
    assert "is there already: it is not overwritten" in said


@pytest.mark.parametrize("arguments", [(), ("core-7",), ("a b", "x"), ("a/b", "x"), ("", "x")])
def test_a_wrong_command_line(new_core, arguments):
    code, said, calls = new_core(*arguments)
    assert (code, calls) == (2, [])
    assert "usage:" in said or "expected 1 to 128" in said


@pytest.mark.skipif(Path("/usr/bin/aws").exists(), reason="the AWS CLI is on this machine's own path")
def test_without_the_cli_it_says_so(new_core, tmp_path):
    code, said, _ = new_core("core-7", tmp_path, commands=("curl",))
    assert code == 69
    assert "the AWS CLI is not installed" in said


@pytest.mark.parametrize(
    ("action", "resource", "allowed"),
    [
        ("iot:Connect", "client/core-7", True),
        ("iot:Connect", "client/core-7-2", True),  # [uplink] connections
        ("iot:Connect", "client/core-70", False),
        ("iot:Connect", "client/core-8", False),
        ("iot:Publish", "topic/$aws/things/loop-north/shadow/name/config/update", True),
        ("iot:Receive", "topic/$aws/things/loop-north/shadow/get/accepted", True),
        ("iot:Subscribe", "topicfilter/$aws/things/loop-north/shadow/update/accepted", True),
        ("iot:Publish", "topic/$aws/things/core-7/jobs/get", False),
        ("iot:Publish", "topic/dt/loop-north/x", True),
        ("iot:Receive", "topic/cmd/loop-north/x", True),
        ("iot:Subscribe", "topicfilter/cmd/+/#", True),
        ("iot:Subscribe", "topicfilter/#", False),
        ("iot:Publish", "topic/$aws/rules/lake/dt/x", True),
        ("iot:Publish", "topic/elsewhere", False),
        ("iot:AssumeRoleWithCertificate", "rolealias/edgecore", True),
        ("iot:AssumeRoleWithCertificate", "rolealias/admin", False),
    ],
)
def test_what_the_policy_allows_a_core(new_core, tmp_path, action, resource, allowed):
    new_core("core-7", tmp_path / "aws")
    document = json.loads((tmp_path / "aws/core-7.policy.json").read_text())
    policies = [read_policy("core-7", document)]
    assert decide(policies, action, resource, {}) is allowed


def test_the_policy_keeps_to_what_aws_takes():
    text = (AWS / "core-policy.json").read_text()
    # Quota of AWS IoT: 2,048 characters without white space; an ARN's beginning has some 40.
    assert len(re.sub(r"\s", "", text)) + text.count("ARN:") * 40 < 2048
    for statement in json.loads(text)["Statement"]:
        assert statement["Effect"] == "Allow"
        resources = statement["Resource"]
        assert not any(each.endswith(("topic/*", "topicfilter/*", "client/*")) for each in resources)


def test_the_role_alias_has_one_name():
    assert "RoleAlias: edgecore\n" in (AWS / "functions-role.yaml").read_text()
    assert "ARN:rolealias/edgecore" in (AWS / "core-policy.json").read_text()
