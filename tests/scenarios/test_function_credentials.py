"""An unmodified boto3 in a function: it finds temporary credentials, writes to DynamoDB, and gets new ones.

The core is the real one, its cloud the simulated one, DynamoDB is moto's server in a process of its own. boto3
lies in the function's folder, as `pip install --target` puts it there (docs/cloud.md).
"""

import asyncio
import contextlib
import importlib.metadata
import json
import os
import re
import shutil
import sys

import boto3
import pytest

pytestmark = pytest.mark.xdist_group("scenario")

REGION = "eu-west-1"
TABLE = "visits"
# What `pip install --target functions/recorder boto3` installs.
VENDORED = ("boto3", "botocore", "jmespath", "python-dateutil", "s3transfer", "six", "urllib3")
CLOUD = """
[cloud]
endpoint = "localhost"
port = {cloud.endpoint.port}
certificate = "{folder}/core.cert.pem"
key = "{folder}/core.key.pem"
ca = "{folder}/ca.pem"
credentials_endpoint = "localhost:{cloud.https.port}"
role_alias = "edgecore"
region = "{region}"
"""
GROUP = """
[group]
name = "site"
[devices.gate]
[functions.recorder]
source = "functions/recorder"
handler = "app.handler"
isolation = "none"
credentials = true
memory = "256MB"
timeout = "30s"
result = "results/recorder"
environment = {{ AWS_ENDPOINT_URL_DYNAMODB = "{dynamodb}" }}
[[routes]]
from = "device:gate"
topic = "visits"
to = "function:recorder"
[[routes]]
from = "function:recorder"
topic = "results/#"
to = "device:gate"
"""
APP = """
import boto3

session = boto3.Session()
dynamodb = session.client("dynamodb")

def handler(event, context):
    dynamodb.put_item(TableName="visits", Item={"guest": {"S": event["guest"]}})
    return {"guest": event["guest"], "method": session.get_credentials().method, "boto3": boto3.__file__}
"""


class DynamoDB:
    """moto's server on loopback, and what it recorded of the requests that came."""

    def __init__(self, folder):
        self._recording, self._log, self._process = folder / "requests.jsonl", folder / "moto.log", None
        self._folder, self.url = folder, ""

    @contextlib.asynccontextmanager
    async def running(self, eventually):
        record = {"MOTO_ENABLE_RECORDING": "true", "MOTO_RECORDER_FILEPATH": str(self._recording)}
        with self._log.open("wb") as log:
            process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "0"),
                cwd=self._folder,
                env=os.environ | record,
                stdout=log,
                stderr=log,
            )
        try:
            self.url = await eventually(self._where)
            await self.ask("create_table", **self._table())
            yield self
        finally:
            process.terminate()
            await process.wait()

    def _where(self):
        found = re.search(r"Running on (http://127\.0\.0\.1:\d+)", self._log.read_text())
        return found and found[1]

    def _table(self):
        return {
            "KeySchema": [{"AttributeName": "guest", "KeyType": "HASH"}],
            "AttributeDefinitions": [{"AttributeName": "guest", "AttributeType": "S"}],
            "BillingMode": "PAY_PER_REQUEST",
        }

    async def ask(self, operation, **arguments):
        """What the test itself asks, with keys of its own. Off the loop: boto3 waits for its answers."""

        def asked():
            keys = {"aws_access_key_id": "TEST", "aws_secret_access_key": "TEST"}
            client = boto3.client("dynamodb", region_name=REGION, endpoint_url=self.url, **keys)
            with contextlib.closing(client):
                return getattr(client, operation)(TableName=TABLE, **arguments)

        return await asyncio.to_thread(asked)

    def writers(self):
        """Of every PutItem, in order: the id of the key that signed it, and the headers."""
        requests = [json.loads(line) for line in self._recording.read_text().splitlines()]
        found = []
        for headers in (each["headers"] for each in requests):
            if headers["X-Amz-Target"].endswith(".PutItem"):
                signed = re.match(
                    r"AWS4-HMAC-SHA256 Credential=(\w+)/\d+/([\w-]+)/dynamodb/", headers["Authorization"]
                )
                assert signed[2] == REGION
                assert headers["X-Amz-Security-Token"]
                found.append(signed[1])
        return found


def is_needed(file):
    """All but the models of the other services: 1,900 files that are no code, and seconds to deploy."""
    return (
        ".." not in file.parts
        and file.suffix != ".pyc"
        and (file.parts[:2] != ("botocore", "data") or len(file.parts) == 3 or file.parts[2] == "dynamodb")
    )


def vendor(folder):
    """Lay boto3 and what it needs into the folder, file by file, as they were installed here."""
    for distribution in map(importlib.metadata.distribution, VENDORED):
        for file in distribution.files:
            if is_needed(file):
                target = folder / file
                target.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(distribution.locate_file(file), target)


async def is_active(site):
    return await site.status("deployments", "status", "state") == "active"


async def test_boto3_writes_with_the_credentials_that_the_core_traded(site, cloud, eventually, tmp_path):
    async with DynamoDB(tmp_path).running(eventually) as dynamodb:
        await asyncio.to_thread(vendor, site.group / "functions" / "recorder")
        site.write_group(GROUP.format(dynamodb=dynamodb.url), **{"functions/recorder/app.py": APP})
        await site.core.initialise("test-core")
        await site.core.configure(CLOUD.format(cloud=cloud, folder=tmp_path / "cloud", region=REGION))
        await site.core.start(site.group)
        await site.core.add_devices(["gate"])
        await eventually(lambda: is_active(site), within=60)
        results = []

        async def given():
            return [each["accessKeyId"] for each in (await cloud.control.status())["credentials"]]

        async with site.connected(
            "gate",
            subscriptions=["results/#"],
            received=lambda _, payload: results.append(json.loads(payload)),
        ) as gate:

            async def visit(guest):
                """The function's answer to one event, and that the item is there."""
                gate.publish("visits", json.dumps({"guest": guest}).encode())
                await eventually(lambda: [each for each in results if each["guest"] == guest], within=60)
                item = {"guest": {"S": guest}}
                assert (await dynamodb.ask("get_item", Key=item))["Item"] == item
                return results[-1]

            # Near their end from the first moment on: nobody keeps them.
            await cloud.control.fault("skew", -3500)
            answer = await visit("Ada")
            assert answer["method"] == "container-role"
            assert "/functions/recorder/boto3/" in answer["boto3"]
            await visit("Grace")
            # Good for an hour: kept.
            await cloud.control.heal("skew")
            await visit("Edsger")
            await visit("Barbara")

        keys = await given()
        ada, grace, edsger, barbara = dynamodb.writers()
        assert len({ada, grace, edsger}) == 3
        assert barbara == edsger == keys[-1]
        assert {ada, grace, edsger} <= set(keys)
        told = await site.status("lambdas", "status", "credentials")
        assert (set(told["answers"]), told["last_error"]) == ({"200"}, "")
