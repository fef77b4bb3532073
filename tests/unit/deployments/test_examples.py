from __future__ import annotations

from pathlib import Path

import pytest

from edgecore.deployments import check_local

DEPLOY = Path(__file__).parents[3] / "deploy"


@pytest.mark.parametrize("folder", sorted(path.parent.name for path in DEPLOY.glob("*/group.toml")))
def test_every_example_group_can_be_deployed(folder):
    assert check_local(DEPLOY / folder).name


def test_the_junction_has_its_parts():
    group = check_local(DEPLOY / "traffic-junction", "junction-core")
    controllers = {name for name in group.devices if name.startswith("signal-")}
    assert controllers == {"signal-north", "signal-east", "signal-south", "signal-west"}
    assert all(group.devices[name].shadow.sync for name in controllers)
    assert len(group.devices) - len(controllers) == 18
    function = group.functions["signal-timing"]
    assert set(function.environment["CONTROLLERS"].split(",")) == controllers
