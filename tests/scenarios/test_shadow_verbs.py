"""`edgecore shadow`, with the real core: as the operator, and as a device with its certificate."""

import asyncio
import json

import pytest

from edgecore.cli import exit_codes

pytestmark = pytest.mark.xdist_group("scenario")


async def test_read_change_list_watch_and_delete(site, eventually, edgecore_verb):
    site.write_group('[group]\nname = "shadows"\n[devices.gate]\n[devices.lamp]\n')
    await site.start("gate", "lamp")

    async def verb(*arguments, code=0):
        given = ("shadow", *arguments, "--dir", site.core.folder)
        found, out, err = await asyncio.to_thread(edgecore_verb, *given)
        assert found == code, err
        return out, err

    watched = asyncio.create_task(verb("watch", "--count", "3"))
    await eventually(lambda: site.status("api", "status", "feeds"))

    out, err = await verb("get", "gate", code=exit_codes.FAILED)
    assert "404 No shadow exists with name: 'gate'" in err
    assert "edgecore shadow list" in err

    out, err = await verb("update", "gate", '{"desired": {"open": true}}')
    assert json.loads(out) == {"desired": {"open": True}}
    assert "shadow gate is at version 1" in err

    # The device itself, with its certificate: no route is needed for its own shadow.
    own = ("--cert", site.core.credentials("gate").certificate, "--port", site.core.port)
    out, err = await verb("update", "gate", '{"reported": {"open": false}}', "--version", "1", *own)
    out, err = await verb("get", "gate", "--json", *own)
    document = json.loads(out)
    assert (document["version"], document["state"]["delta"]) == (2, {"open": True})
    out, err = await verb("update", "gate", '{"state": null, "version": 1}', *own, code=exit_codes.FAILED)
    assert "409 Version conflict" in err
    out, err = await verb("get", "lamp", *own, code=exit_codes.NOT_PERMITTED)
    assert "no route of the group delivers there to this device" in err

    out, err = await verb("list", "--json")
    (listed,) = json.loads(out)["shadows"]
    assert {**listed, "bytes": 0} == {"thing": "gate", "name": "", "version": 2, "bytes": 0, "cloud": "-"}
    out, err = await verb("delete", "gate")
    assert "it was at version 2" in err

    out, err = await watched
    lines = out.splitlines()
    assert lines[0].startswith("gate version 1, ")
    assert lines[1:3] == ["  + desired.open true", '  delta {"open":true}']
    assert lines[3].startswith("gate version 2, ")
    assert lines[4:] == ["  + reported.open false", '  delta {"open":true}', "gate deleted"]
