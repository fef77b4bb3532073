"""AWS's own clients, unmodified, against the simulated cloud over real mutual TLS."""

import asyncio
import concurrent.futures
import contextlib
import json
import queue
import subprocess
import sys

import pytest

from edgecore.sim.cloud import describe, snippet
from edgecore.sim.simcloud import CloudControl

# Seconds; a deadline that only a fault reaches.
PATIENCE = 20


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "C"


class Aws:
    """AWS's own clients, as the SDK's samples make them."""

    def __init__(self, folder, port, thing="lamp"):
        from awscrt import mqtt5
        from awsiot import mqtt5_client_builder

        self.stopped = concurrent.futures.Future()
        self.connected = concurrent.futures.Future()
        self.client = mqtt5_client_builder.mtls_from_path(
            str(folder / f"things/{thing}.cert.pem"),
            str(folder / f"things/{thing}.key.pem"),
            ca_filepath=str(folder / "ca.pem"),
            endpoint="127.0.0.1",
            port=port,
            client_id=thing,
            on_lifecycle_connection_success=self.connected.set_result,
            on_lifecycle_stopped=self.stopped.set_result,
            session_behavior=mqtt5.ClientSessionBehaviorType.CLEAN,
        )

    async def __aenter__(self):
        self.client.start()
        await self.wait(self.connected)
        return self.client

    async def __aexit__(self, *_error):
        self.client.stop()
        await self.wait(self.stopped)
        del self.client

    @staticmethod
    async def wait(future):
        async with asyncio.timeout(PATIENCE):
            return await asyncio.wrap_future(future)


@pytest.fixture
def aws(folder, tools):
    """A cloud and an AWS client that is connected to it."""

    @contextlib.asynccontextmanager
    async def start(**options):
        async with tools.serving(folder, **options) as port, Aws(folder, port) as client:
            yield client

    return start


async def test_aws_shadow_client_version_2(aws):
    import awsiot
    from awscrt.mqtt_request_response import ClientOptions
    from awsiot import iotshadow

    async with aws() as client:
        shadow = iotshadow.IotShadowClientV2(client, ClientOptions(2, 2, 10))
        state = iotshadow.ShadowState(desired={"color": "green"}, reported={"color": "red"})
        updated = await Aws.wait(
            shadow.update_shadow(iotshadow.UpdateShadowRequest(thing_name="lamp", state=state))
        )
        assert (updated.version, updated.state.desired) == (1, {"color": "green"})
        got = await Aws.wait(shadow.get_shadow(iotshadow.GetShadowRequest(thing_name="lamp")))
        assert got.state.delta == {"color": "green"}
        with pytest.raises(awsiot.V2ServiceException) as conflict:
            await Aws.wait(
                shadow.update_shadow(iotshadow.UpdateShadowRequest(thing_name="lamp", state=state, version=7))
            )
        assert conflict.value.modeled_error.code == 409
        deleted = await Aws.wait(shadow.delete_shadow(iotshadow.DeleteShadowRequest(thing_name="lamp")))
        assert deleted.version == 1
        del shadow


async def test_aws_shadow_client_version_1(aws):
    from awscrt import mqtt
    from awsiot import iotshadow

    got = concurrent.futures.Future()
    delta = concurrent.futures.Future()
    async with aws() as client:
        shadow = iotshadow.IotShadowClient(client.new_connection())
        qos = mqtt.QoS.AT_LEAST_ONCE
        about = {"thing_name": "lamp", "shadow_name": "config"}
        subscribed, _ = shadow.subscribe_to_named_shadow_delta_updated_events(
            iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest(**about), qos, delta.set_result
        )
        await Aws.wait(subscribed)
        subscribed, _ = shadow.subscribe_to_update_named_shadow_accepted(
            iotshadow.UpdateNamedShadowSubscriptionRequest(**about), qos, got.set_result
        )
        await Aws.wait(subscribed)
        request = iotshadow.UpdateNamedShadowRequest(
            **about, client_token="tok", state=iotshadow.ShadowState(desired={"every": 5})
        )
        await Aws.wait(shadow.publish_update_named_shadow(request, qos))
        accepted = await Aws.wait(got)
        assert (accepted.client_token, accepted.version, accepted.state.desired) == ("tok", 1, {"every": 5})
        assert (await Aws.wait(delta)).state == {"every": 5}
        del shadow


async def test_aws_shadow_client_version_1_over_mqtt_3(folder, tools):
    from awscrt import mqtt
    from awsiot import iotshadow, mqtt_connection_builder

    qos = mqtt.QoS.AT_LEAST_ONCE
    accepted, rejected = concurrent.futures.Future(), concurrent.futures.Future()
    async with tools.serving(folder) as port:
        connection = mqtt_connection_builder.mtls_from_path(
            str(folder / "things/lamp.cert.pem"),
            str(folder / "things/lamp.key.pem"),
            ca_filepath=str(folder / "ca.pem"),
            endpoint="127.0.0.1",
            port=port,
            client_id="lamp",
            clean_session=True,
        )
        await Aws.wait(connection.connect())
        shadow = iotshadow.IotShadowClient(connection)
        request = iotshadow.UpdateShadowSubscriptionRequest(thing_name="lamp")
        for subscribe, future in (
            (shadow.subscribe_to_update_shadow_accepted, accepted),
            (shadow.subscribe_to_update_shadow_rejected, rejected),
        ):
            await Aws.wait(subscribe(request, qos, future.set_result)[0])
        state = iotshadow.ShadowState(reported={"on": True})
        for version in (None, 7):
            update = iotshadow.UpdateShadowRequest(thing_name="lamp", state=state, version=version)
            await Aws.wait(shadow.publish_update_shadow(update, qos))
        assert (await Aws.wait(accepted)).version == 1
        assert (await Aws.wait(rejected)).code == 409
        await Aws.wait(connection.disconnect())
        del shadow, connection


class Stream:
    """A stream of the version 2 clients: its events, once it is established."""

    def __init__(self, create, request):
        from awscrt.mqtt_request_response import SubscriptionStatusEventType
        from awsiot import ServiceStreamOptions

        self.events = queue.Queue()
        self._established = concurrent.futures.Future()

        def status(event):
            if event.type == SubscriptionStatusEventType.SUBSCRIPTION_ESTABLISHED:
                self._established.set_result(None)

        options = ServiceStreamOptions(
            incoming_event_listener=self.events.put, subscription_status_listener=status
        )
        self._operation = create(request, options)
        self._operation.open()

    async def established(self):
        await Aws.wait(self._established)
        return self

    async def next(self):
        return await asyncio.to_thread(self.events.get, timeout=PATIENCE)


async def test_aws_shadow_client_version_2_named_with_its_streams(aws):
    from awscrt.mqtt_request_response import ClientOptions
    from awsiot import iotshadow

    async with aws() as client:
        shadow = iotshadow.IotShadowClientV2(client, ClientOptions(4, 4, 10))
        about = {"thing_name": "lamp", "shadow_name": "config"}
        deltas = await Stream(
            shadow.create_named_shadow_delta_updated_stream,
            iotshadow.NamedShadowDeltaUpdatedSubscriptionRequest(**about),
        ).established()
        documents = await Stream(
            shadow.create_named_shadow_updated_stream,
            iotshadow.NamedShadowUpdatedSubscriptionRequest(**about),
        ).established()
        state = iotshadow.ShadowState(desired={"every": 5})
        await Aws.wait(shadow.update_named_shadow(iotshadow.UpdateNamedShadowRequest(**about, state=state)))
        assert (await deltas.next()).state == {"every": 5}
        update = await documents.next()
        assert (update.previous, update.current.version) == (None, 1)
        got = await Aws.wait(shadow.get_named_shadow(iotshadow.GetNamedShadowRequest(**about)))
        assert got.state.desired == {"every": 5}
        await Aws.wait(shadow.delete_named_shadow(iotshadow.DeleteNamedShadowRequest(**about)))
        deltas._operation = documents._operation = None
        del shadow


async def test_aws_jobs_client_version_2(aws, folder):
    import awsiot
    from awscrt.mqtt_request_response import ClientOptions
    from awsiot import iotjobs

    async with aws() as client:
        jobs = iotjobs.IotJobsClientV2(client, ClientOptions(4, 4, 10))
        nexts = await Stream(
            jobs.create_next_job_execution_changed_stream,
            iotjobs.NextJobExecutionChangedSubscriptionRequest(thing_name="lamp"),
        ).established()
        changes = await Stream(
            jobs.create_job_executions_changed_stream,
            iotjobs.JobExecutionsChangedSubscriptionRequest(thing_name="lamp"),
        ).established()
        pending = await Aws.wait(
            jobs.get_pending_job_executions(iotjobs.GetPendingJobExecutionsRequest(thing_name="lamp"))
        )
        assert (len(pending.in_progress_jobs), len(pending.queued_jobs)) == (0, 0)

        await CloudControl(folder).create_job("one", {"operation": "reboot"}, ["lamp"])
        assert (await nexts.next()).execution.job_id == "one"
        assert list((await changes.next()).jobs) == ["QUEUED"]

        started = await Aws.wait(
            jobs.start_next_pending_job_execution(
                iotjobs.StartNextPendingJobExecutionRequest(thing_name="lamp", step_timeout_in_minutes=5)
            )
        )
        assert (started.execution.status, started.execution.job_document) == (
            "IN_PROGRESS",
            {"operation": "reboot"},
        )
        described = await Aws.wait(
            jobs.describe_job_execution(iotjobs.DescribeJobExecutionRequest(thing_name="lamp", job_id="one"))
        )
        assert described.execution.version_number == started.execution.version_number
        about = {"thing_name": "lamp", "job_id": "one"}
        with pytest.raises(awsiot.V2ServiceException) as mismatch:
            await Aws.wait(
                jobs.update_job_execution(
                    iotjobs.UpdateJobExecutionRequest(**about, status="SUCCEEDED", expected_version=7)
                )
            )
        assert mismatch.value.modeled_error.code == iotjobs.RejectedErrorCode.VERSION_MISMATCH
        await Aws.wait(
            jobs.update_job_execution(
                iotjobs.UpdateJobExecutionRequest(**about, status="SUCCEEDED", status_details={"took": "1s"})
            )
        )
        assert (await nexts.next()).execution is None
        assert (await changes.next()).jobs == {}
        job = await CloudControl(folder).job("one")
        assert (job["status"], job["executions"]["lamp"]["statusDetails"]) == ("COMPLETED", {"took": "1s"})
        nexts._operation = changes._operation = None
        del jobs


async def test_aws_jobs_client_version_1(aws, folder):
    from awscrt import mqtt
    from awsiot import iotjobs

    qos = mqtt.QoS.AT_LEAST_ONCE
    started = concurrent.futures.Future()
    async with aws() as client:
        jobs = iotjobs.IotJobsClient(client.new_connection())
        subscribed, _ = jobs.subscribe_to_start_next_pending_job_execution_accepted(
            iotjobs.StartNextPendingJobExecutionSubscriptionRequest(thing_name="lamp"),
            qos,
            started.set_result,
        )
        await Aws.wait(subscribed)
        await CloudControl(folder).create_job("one", {"do": "it"}, ["lamp"])
        await Aws.wait(
            jobs.publish_start_next_pending_job_execution(
                iotjobs.StartNextPendingJobExecutionRequest(thing_name="lamp", client_token="t"), qos
            )
        )
        response = await Aws.wait(started)
        assert (response.client_token, response.execution.job_id) == ("t", "one")
        del jobs


async def test_what_aws_negotiates(folder, tools):
    async with tools.serving(folder) as port:
        aws = Aws(folder, port)
        async with aws:
            settings = aws.connected.result().negotiated_settings
            assert settings.receive_maximum_from_server == 100
            assert settings.maximum_packet_size_to_server == 149_504
            assert (settings.topic_alias_maximum_to_server, settings.topic_alias_maximum_to_client) == (8, 0)
            assert settings.maximum_qos == 1
            assert settings.retain_available
            assert settings.wildcard_subscriptions_available
            assert settings.shared_subscriptions_available
            assert not settings.subscription_identifiers_available
            assert settings.server_keep_alive_sec == 1200
        del aws


async def test_a_publish_that_no_policy_allows(aws, folder):
    from awscrt import mqtt5

    async with aws() as client:
        await CloudControl(folder).fault("deny", "iot:Publish=topic/secret")
        packet = mqtt5.PublishPacket(topic="secret", payload=b"", qos=mqtt5.QoS.AT_LEAST_ONCE)
        answer = await Aws.wait(client.publish(packet))
        assert answer.puback.reason_code == mqtt5.PubackReasonCode.NOT_AUTHORIZED


class TestDirections:
    async def test_the_printed_program_works(self, folder, tools):
        async with tools.serving(folder):
            text = await asyncio.to_thread(describe, folder)
            begin = text.index("  # pip install awsiotsdk")
            program = "\n".join(line.removeprefix("  ") for line in text[begin:].splitlines())
            assert program.strip() == (await asyncio.to_thread(snippet, folder)).strip()
            argv = [sys.executable, "-W", "error", "-c", program]
            done = await asyncio.to_thread(subprocess.run, argv, capture_output=True, text=True, timeout=60)
        assert (done.returncode, done.stdout) == (0, "PUBACK SUCCESS\n"), done.stderr

    async def test_without_things_it_is_the_cores_certificate(self, folder, tools):
        async with tools.serving(folder, things=()):
            text = await asyncio.to_thread(snippet, folder)
        assert "/core.cert.pem" in text
        assert "client_id='core'" in text

    async def test_a_core_is_told_its_options(self, folder, tools):
        async with tools.serving(folder) as port:
            text = await asyncio.to_thread(describe, folder)
        note = f"--cloud 127.0.0.1:{port}"
        assert note in text
        for name in ("core.cert.pem", "core.key.pem", "ca.pem"):
            assert str(folder / name) in text

    async def test_a_cloud_on_all_addresses_is_reached_as_localhost(self, folder, tools):
        async with tools.serving(folder, host="0.0.0.0"):
            text = await asyncio.to_thread(describe, folder)
            assert json.loads(await asyncio.to_thread((folder / "cloud.json").read_text))["host"] == "0.0.0.0"
        assert "--cloud localhost:" in text
        assert "endpoint='localhost'" in text
