"""The whole room: real workers, a real database, user code of all kinds."""

import asyncio
import contextlib
import json
import re
import subprocess
import sys
import textwrap

import psutil
import pytest

from edgecore.base.commit import Commit
from edgecore.base.errors import (
    FunctionCrashedError,
    FunctionError,
    FunctionTimeoutError,
    RefusedError,
    StoreError,
)
from edgecore.base.identity import CORE, function
from edgecore.base.interfaces import Receipt
from edgecore.store import durable

ECHO = """
def handler(event, context):
    return event
"""
DEAD = "edgecore/alarm/function/f"


async def test_an_event_gives_a_result_that_is_published_as_the_function(start):
    house = await start(
        "def handler(e, c): return {'twice': e['n'] * 2, 'on': c.client_context.custom['subject']}"
    )
    house.send("f", b'{"n": 21}', topic="a/b")
    (message,) = await house.bus.wait_for(1)
    assert (message.topic, message.qos, message.sender) == ("out", 1, function("f"))
    assert json.loads(message.payload) == {"twice": 42, "on": "a/b"}
    await house.until(lambda status: status["queued"] == 0)


async def test_ready_does_not_wait_for_user_code_and_status_says_what_is_not_isolated(start):
    house = await start("import time; time.sleep(60)", pinned=True)
    assert house.status()["state"] in ("stopped", "starting")
    assert house.status()["isolation"] == "none"
    assert house.status()["memory_enforcement"] == "rlimit"


async def test_on_demand_starts_with_the_first_event_and_ends_when_idle(start):
    house = await start(ECHO, {"idle_timeout": 0.05})
    assert house.status()["pid"] is None
    house.send("f")
    await house.bus.wait_for(1)
    status = await house.until(lambda status: status["worker"] == "stopped")
    assert status["workers_started"] == 1
    assert status["last_error"] == ""
    house.send("f")
    await house.bus.wait_for(2)


async def test_pinned_starts_at_once_and_stays(start):
    house = await start(ECHO, {"idle_timeout": 0.01}, pinned=True)
    first = await house.until(lambda status: status["worker"] == "idle")
    house.send("f")
    await house.bus.wait_for(1)
    await asyncio.sleep(0.05)
    assert house.status()["pid"] == first["pid"]


async def test_events_are_handled_in_order_and_each_once(start):
    house = await start(ECHO)
    for n in range(100):
        house.send("f", b"%d" % n)
    messages = await house.bus.wait_for(100)
    assert [int(message.payload) for message in messages] == list(range(100))
    await house.until(lambda status: status["queued"] == 0)


async def test_qos_0_is_kept_in_memory_and_drops_the_oldest(start):
    house = await start("import time; time.sleep(0.2)\ndef handler(e, c): return e", {"memory_events": 3})
    for n in range(10):
        assert house.send("f", b"%d" % n, qos=0) is None
    messages = await house.bus.wait_for(3)
    assert [(int(message.payload), message.qos) for message in messages] == [(7, 0), (8, 0), (9, 0)]
    assert house.status()["dropped"] == {"overflow": 7}


async def test_a_full_durable_queue_refuses(start):
    house = await start("import time; time.sleep(60)", {"queue_events": 2})
    for _ in range(2):
        await durable(house.send("f"))
    with pytest.raises(RefusedError):
        house.send("f")
    assert house.status()["refused"] == 1


async def test_an_event_that_is_too_large_is_refused_at_every_qos(start):
    house = await start(ECHO, {"max_payload": 10})
    for qos in (0, 1):
        with pytest.raises(RefusedError, match="at most 10 bytes"):
            house.send("f", b"x" * 11, qos)


async def test_queued_events_survive_the_service(start, spec):
    house = await start("import time; time.sleep(60)")
    await asyncio.gather(*(durable(house.send("f", b"%d" % n)) for n in range(3)))
    await house.stop()
    again = await start(ECHO, db=house.db)
    messages = await again.bus.wait_for(3)
    assert sorted(int(message.payload) for message in messages) == [0, 1, 2]


async def test_an_event_in_flight_has_time_to_end_when_the_service_stops(start):
    house = await start(
        "import time\ndef handler(e, c): print('here', flush=True); time.sleep(0.2); return 1"
    )
    house.send("f")
    await house.until(lambda status: status["worker"] == "busy")
    await house.stop()
    assert [message.payload for message in house.bus.messages] == [b"1"]


async def test_a_handler_that_raises_is_tried_again_and_then_dead(start):
    house = await start("def handler(e, c): raise ValueError('no ' + c.aws_request_id)")
    house.send("f", b'{"a": 1}', topic="t")
    (message,) = await house.bus.wait_for(1)
    letter = json.loads(message.payload)
    assert (message.topic, message.qos, message.sender) == (DEAD, 1, CORE)
    assert letter["requestPayload"] == {"a": 1}
    assert letter["requestContext"]["condition"] == "RetriesExhausted"
    assert letter["requestContext"]["approximateInvokeCount"] == 3
    assert letter["responsePayload"]["errorType"] == "ValueError"
    assert letter["requestContext"]["requestId"] in letter["responsePayload"]["errorMessage"]
    status = await house.until(lambda status: status["queued"] == 0)
    assert (status["errors"], status["dead_letters"], status["workers_started"]) == (3, 1, 1)


async def test_at_qos_0_there_is_one_attempt(start):
    house = await start("def handler(e, c): raise ValueError('no')")
    house.send("f", qos=0)
    status = await house.until(lambda status: status.get("errors"))
    assert status["dropped"] == {"failed": 1}
    assert status["last_error"].endswith("failed: ValueError: no")
    assert house.bus.messages == []


async def test_a_hanging_handler_is_killed_and_the_next_event_served(start):
    house = await start(
        "import time\ndef handler(e, c): return e if e else time.sleep(60)", {"retries": 0}, timeout=0.1
    )
    with pytest.raises(FunctionTimeoutError, match=r"Task timed out after 0.10 seconds"):
        await house.service.invoke("f", b"0")
    assert await house.service.invoke("f", b"1") == b"1"
    status = house.status()
    assert (status["timeouts"], status["workers_started"]) == (1, 2)


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        ("import os\ndef handler(e, c): os._exit(3)", "it exited with code 3"),
        ("import ctypes\ndef handler(e, c): ctypes.string_at(0)", "it was killed by SIGSEGV"),
        ("import os, signal\ndef handler(e, c): os.kill(os.getpid(), 9)", "it was killed by SIGKILL"),
    ],
)
async def test_a_handler_that_dies_is_reported_with_the_reason(start, code, reason):
    house = await start({"f": code, "g": ECHO})
    with pytest.raises(FunctionCrashedError, match=reason):
        await house.service.invoke("f", b"0")
    assert await house.service.invoke("g", b"1") == b"1"
    status = house.status()
    assert status["crashes"] == 1
    assert reason in status["last_error"]


async def test_a_handler_beyond_its_memory_gets_an_error_and_a_new_worker(start):
    house = await start(
        "held = []\ndef handler(e, c): held.append(bytearray(e)); return len(held)", memory=64 * 1024 * 1024
    )
    assert await house.service.invoke("f", b"1000") == b"1"
    with pytest.raises(FunctionError) as raised:
        await house.service.invoke("f", b"200000000")
    assert raised.value.error_type == "MemoryError"
    assert await house.service.invoke("f", b"1000") == b"1"
    assert house.status()["workers_started"] == 2


@pytest.mark.parametrize(
    ("code", "handler", "reason"),
    [
        ("def handler(:", "app.handler", r"Runtime.UserCodeSyntaxError: .*line 1"),
        (
            "import no_such_module",
            "app.handler",
            r"Runtime.ImportModuleError: cannot import 'app': No module named",
        ),
        ("x = 1", "app.handler", r"Runtime.HandlerNotFound: found no function 'handler' in .*app.py"),
        ("x = 1 / 0", "app.handler", "ZeroDivisionError: division by zero"),
        ("raise SystemExit(3)", "app.handler", "SystemExit: 3"),
        ("", "handler", "Runtime.MalformedHandlerName: found handler 'handler', expected 'module.function'"),
        ("", "sys.exit", "Runtime.BuiltInModuleConflict: 'sys'"),
        ("import os; os._exit(7)", "app.handler", "it exited with code 7"),
    ],
)
async def test_a_function_that_cannot_be_loaded_is_broken_and_others_run_on(start, code, handler, reason):
    house = await start({"f": code, "g": "def handler(e, c): return 1"}, handler=handler)
    house.send("f")
    status = await house.until(lambda status: status["state"] == "broken")
    assert re.match(reason, status["broken"])
    if handler == "app.handler":
        assert await house.service.invoke("g", b"1") == b"1"
    with pytest.raises(FunctionError, match=reason):
        await house.service.invoke("f", b"0")
    assert house.status()["queued"] == 1


async def test_a_broken_function_works_on_when_it_is_mended(start, tmp_path):
    house = await start("raise RuntimeError('not yet')")
    house.send("f", b"5")
    await house.until(lambda status: status["state"] == "broken")
    (tmp_path / "f" / "app.py").write_text(textwrap.dedent(ECHO))
    (message,) = await house.bus.wait_for(1)
    assert message.payload == b"5"
    assert house.status()["broken"] == ""


async def test_a_function_that_loads_too_long_is_broken(start):
    house = await start("import time; time.sleep(60)", {"start_timeout": 0.2})
    with pytest.raises(FunctionError, match=r"not loaded within 0\.20 seconds"):
        await house.service.invoke("f", b"0")


async def test_a_missing_folder_breaks_only_its_function(start, tmp_path):
    house = await start(ECHO)
    (tmp_path / "f" / "app.py").unlink()
    (tmp_path / "f").rmdir()
    with pytest.raises(FunctionError, match="No such file or directory"):
        await house.service.invoke("f", b"0")


async def test_old_events_of_a_broken_function_become_dead_letters(start):
    house = await start("raise RuntimeError('never')", {"max_event_age": 0.1})
    house.send("f", b"\xff")
    (message,) = await house.bus.wait_for(1)
    letter = json.loads(message.payload)
    assert letter["requestContext"]["condition"] == "EventAgeExceeded"
    assert letter["requestPayloadBase64"] == "/w=="
    await house.until(lambda status: status["queued"] == 0)


async def test_a_worker_that_floods_its_output_is_killed(start):
    house = await start("def handler(e, c):\n while True: print('x' * 1000)")
    with pytest.raises(FunctionCrashedError, match="it flooded its output"):
        await house.service.invoke("f", b"0")


@pytest.mark.parametrize(
    "garbage",
    [
        "b'GARBAGE GARBAGE'",
        "encode(18, {'id': 'another', 'none': True, 'rss': 1})",
        "encode(2, {})",
        "encode(20, {'seq': 1, 'topic': 'a'})",
        "encode(20, {'seq': 1, 'topic': 'a', 'qos': -1})",
    ],
)
async def test_a_worker_that_sends_garbage_is_killed(start, garbage):
    house = await start(
        f"""
        import socket, time
        from edgecore.lambdas.frames import encode
        def handler(e, c):
            socket.socket(fileno=3).sendall({garbage})
            time.sleep(60)
        """
    )
    with pytest.raises(FunctionCrashedError, match="it sent garbage"):
        await house.service.invoke("f", b"0")


async def test_too_many_publishes_at_once_are_a_violation(start):
    house = await start(
        """
        import socket, time
        from edgecore.lambdas.frames import encode
        connection = socket.socket(fileno=3)
        def handler(e, c):
            for seq in range(300):
                connection.sendall(encode(20, {'seq': seq, 'topic': 'a', 'qos': 1}))
            time.sleep(60)
        """
    )
    house.bus.answer = lambda message: Receipt(allowed=True, receivers=1, commits=(Commit(),))
    with pytest.raises(FunctionCrashedError, match="more than 256 publishes"):
        await house.service.invoke("f", b"0")


PUBLISH = """
from edgecore.lambdas import sdk
def handler(e, c):
    try:
        sdk.publish("t/1", e, qos=QOS)
    except Exception as error:
        return type(error).__name__ + ": " + str(error)
    return "published"
"""


async def test_publish_returns_when_the_message_is_durable(start):
    house = await start(PUBLISH.replace("QOS", "1"))
    commit = Commit()
    house.bus.answer = lambda message: Receipt(allowed=True, receivers=1, commits=(commit,))
    waiting = asyncio.create_task(house.service.invoke("f", b'{"a":1}'))
    (message,) = await house.bus.wait_for(1)
    assert (message.topic, message.payload, message.qos) == ("t/1", b'{"a":1}', 1)
    assert message.sender == function("f")
    assert house.status()["worker"] == "busy"
    commit.resolve()
    assert await waiting == b'"published"'


@pytest.mark.parametrize(
    ("receipt", "error"),
    [
        (Receipt(allowed=False), "NotAuthorizedError: no route lets function:f publish on t/1"),
        (Receipt(allowed=True, refused="the outbox is full"), "RefusedError: the outbox is full"),
    ],
)
async def test_a_refused_publish_raises_in_the_handler(start, receipt, error):
    house = await start(PUBLISH.replace("QOS", "1"))
    house.bus.answer = lambda message: receipt
    assert error in (await house.service.invoke("f", b"[]")).decode()
    assert house.status()["publishes_refused"] == 1


async def test_a_publish_that_cannot_be_stored_raises(start):
    house = await start(PUBLISH.replace("QOS", "2"))
    commit = Commit()
    commit.resolve(StoreError("disk full"))
    house.bus.answer = lambda message: Receipt(allowed=True, commits=(commit,))
    assert await house.service.invoke("f", b"[]") == b'"StoreError: disk full"'


async def test_a_refused_publish_of_qos_0_is_counted(start):
    house = await start(PUBLISH.replace("QOS", "0"))
    house.bus.answer = lambda message: Receipt(allowed=False)
    assert await house.service.invoke("f", b"[]") == b'"published"'
    assert house.status()["publishes_refused"] == 1
    assert "no route" in house.status()["last_error"]


async def test_publishing_while_loading_and_from_threads(start):
    house = await start(
        """
        import threading
        from edgecore.lambdas import sdk
        sdk.publish("loading", "1", qos=1)
        def background():
            for n in range(20): sdk.publish("thread", str(n), qos=1)
        threads = [threading.Thread(target=background) for _ in range(3)]
        for thread in threads: thread.start()
        def handler(e, c):
            for n in range(20): sdk.publish("main", str(n), qos=1)
            return 1
        """,
        pinned=True,
    )
    assert await house.service.invoke("f", b"0") == b"1"
    assert len(await house.bus.wait_for(60, "thread")) == 60
    assert [m.payload for m in house.bus.messages if m.topic == "main"] == [b"%d" % n for n in range(20)]
    assert house.bus.messages[0].topic == "loading"


async def test_a_result_that_is_refused_is_tried_again_and_one_without_route_is_not(start):
    house = await start(ECHO)
    refusals = iter([Receipt(allowed=True, refused="full"), Receipt(allowed=True), Receipt(allowed=False)])
    house.bus.answer = lambda message: next(refusals)
    house.send("f", b"1")
    await house.bus.wait_for(2)
    status = await house.until(lambda status: status["queued"] == 0)
    assert (status["invocations"], status["errors"]) == (2, 1)
    house.send("f", b"2")
    status = await house.until(lambda status: status.get("results_unrouted"))
    assert (await house.until(lambda status: status["queued"] == 0))["invocations"] == 3


async def test_a_result_that_is_none_is_not_published(start):
    house = await start("def handler(e, c): pass")
    await durable(house.send("f"))
    await house.until(lambda status: status.get("invocations") == 1 and status["queued"] == 0)
    assert house.bus.messages == []
    assert await house.service.invoke("f", b"0") == b"null"


@pytest.mark.parametrize(
    ("value", "error_type"),
    [
        ("object()", "Runtime.MarshalError"),
        ("float('nan')", "Runtime.MarshalError"),
        ("'x' * 2000", "Function.ResponseSizeTooLarge"),
    ],
)
async def test_a_result_that_cannot_be_sent_is_an_error(start, value, error_type):
    house = await start(f"def handler(e, c): return {value}", {"max_payload": 1000})
    with pytest.raises(FunctionError) as raised:
        await house.service.invoke("f", b"0")
    assert raised.value.error_type == error_type


async def test_a_worker_sees_nothing_of_the_daemons_environment(start, monkeypatch, tmp_path):
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    house = await start(
        """
        import os, resource
        def handler(e, c):
            return {"env": dict(os.environ), "cwd": os.getcwd(), "core": resource.getrlimit(resource.RLIMIT_CORE),
                    "data": resource.getrlimit(resource.RLIMIT_DATA), "sid": os.getsid(0) == os.getpid(),
                    "fds": sorted(int(fd) for fd in os.listdir("/proc/self/fd"))}
        """,
        environment={"CYCLE": "90", "_HANDLER": "mine"},
    )
    seen = json.loads(await house.service.invoke("f", b"0"))
    assert seen["env"] == {
        "CYCLE": "90",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": str(tmp_path / "run" / "functions" / "f"),
        "AWS_LAMBDA_FUNCTION_NAME": "f",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "128",
        "LAMBDA_TASK_ROOT": str(tmp_path / "f"),
        "_HANDLER": "app.handler",
    }
    assert seen["cwd"] == str(tmp_path / "f")
    assert seen["core"] == [0, 0]
    assert seen["data"] == [128 * 1024 * 1024] * 2
    assert seen["sid"] is True
    assert len(seen["fds"]) <= 6
    assert not (tmp_path / "f" / "__pycache__").exists()


async def test_what_a_function_prints_is_logged_by_line_with_its_level(start, caplog):
    caplog.set_level("INFO", "edgecore.function.f")
    house = await start(
        """
        import logging, sys
        from edgecore.lambdas import sdk
        def handler(e, c):
            print("plain")
            print("to stderr", file=sys.stderr)
            sdk.logger.info("by %s", "sdk")
            logging.getLogger("mine").warning("watch out")
            sys.stdout.write("no end")
        """
    )
    await house.service.invoke("f", b"0")
    await house.stop()
    found = [
        (record.levelname, re.sub(r"^[0-9a-f-]{36} ", "ID ", record.message)) for record in caplog.records
    ]
    assert found == [
        ("INFO", "plain"),
        ("INFO", "to stderr"),
        ("INFO", "ID by sdk"),
        ("WARNING", "ID watch out"),
        ("INFO", "no end"),
    ]


async def test_a_grandchild_dies_with_its_worker(start, tmp_path):
    house = await start(
        """
        import subprocess, time
        def handler(e, c):
            with open(e, "w") as file:
                file.write(str(subprocess.Popen(["sleep", "60"]).pid))
            time.sleep(60)
        """,
        {"retries": 0},
        timeout=0.5,
    )
    file = tmp_path / "pid"
    with pytest.raises(FunctionTimeoutError):
        await house.service.invoke("f", json.dumps(str(file)).encode())
    pid = int(file.read_text())
    async with asyncio.timeout(10):
        while psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE:  # noqa: ASYNC110  another process
            await asyncio.sleep(0.01)


async def test_a_worker_that_does_not_end_when_asked_is_killed(start):
    house = await start(
        "import threading, time\nthreading.Thread(target=time.sleep, args=(60,)).start()\ndef handler(e, c): return 1",
        {"stop_grace": 0.1, "idle_timeout": 0.05},
    )
    assert await house.service.invoke("f", b"0") == b"1"
    status = await house.until(lambda status: status["worker"] == "stopped")
    assert "it did not end within 0.10 seconds" in status["last_error"]


async def test_direct_calls_are_bounded_and_end_with_the_service(start):
    house = await start("import time; time.sleep(60)", {"invoke_queue": 1, "stop_grace": 0.05})
    waiting = asyncio.create_task(house.service.invoke("f", b"0"))
    await house.until(lambda status: status["worker"] == "starting")
    with pytest.raises(RefusedError, match="try again later"):
        await house.service.invoke("f", b"0")
    await house.stop()
    with pytest.raises(FunctionError, match="stopped"):
        await waiting


async def test_a_call_whose_caller_left_harms_nothing(start):
    house = await start("import time\ndef handler(e, c): time.sleep(0.1); return e")
    waiting = asyncio.create_task(house.service.invoke("f", b"0"))
    await house.until(lambda status: status["worker"] == "busy")
    waiting.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await waiting
    assert await house.service.invoke("f", b"1") == b"1"


async def test_an_unknown_function_is_named(start):
    house = await start(ECHO)
    with pytest.raises(FunctionError, match="no function 'x'; known: f"):
        await house.service.invoke("x", b"")


async def test_without_functions_the_service_just_runs(start):
    house = await start({})
    assert house.service.status() == {"functions": {}}
    assert not house.task.done()


async def test_targets_are_given_back_at_the_end(start):
    house = await start(ECHO)
    assert list(house.bus.targets) == ["function:f"]
    await house.stop()
    assert house.bus.targets == {}


ORPHAN = """
import asyncio, sys
from pathlib import Path
from edgecore.base.clock import SystemClock
from edgecore.base.group import FunctionSpec
from edgecore.lambdas import FunctionsService, LambdasSettings
from edgecore.store import Database

class Bus:
    def attach(self, target, subscriber): pass
    def detach(self, target, subscriber): pass

async def main(folder):
    async with Database(folder / "db.sqlite") as db:
        spec = FunctionSpec("f", "f", "app.handler", pinned=True)
        service = FunctionsService(LambdasSettings(), {"f": spec}, folder, Bus(), db, SystemClock(), folder / "run")
        task = asyncio.create_task(service.run(lambda: None))
        while not (status := service.status()["functions"].get("f")) or status["worker"] != "idle":
            await asyncio.sleep(0.01)
        asyncio.create_task(service.invoke("f", b"0"))
        while service.status()["functions"]["f"]["worker"] != "busy":
            await asyncio.sleep(0.01)
        print(status["pid"], flush=True)
        await task

asyncio.run(main(Path(sys.argv[1])))
"""


def test_a_killed_daemon_leaves_no_worker_behind(tmp_path):
    (tmp_path / "f").mkdir()
    # A handler that can notice nothing by itself: it holds the interpreter.
    (tmp_path / "f" / "app.py").write_text("def handler(e, c):\n    while True: pass\n")
    daemon = subprocess.Popen([sys.executable, "-c", ORPHAN, str(tmp_path)], stdout=subprocess.PIPE)
    try:
        pid = int(daemon.stdout.readline())
        worker = psutil.Process(pid)
        assert worker.is_running()
    finally:
        daemon.kill()
        daemon.wait(10)
        daemon.stdout.close()
    _, alive = psutil.wait_procs([worker], timeout=10)
    assert alive == []
