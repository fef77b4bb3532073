import pytest

from edgecore.base.errors import ConfigError
from edgecore.shadow import ShadowSettings


def test_defaults_are_those_of_aws():
    assert (ShadowSettings().document_bytes, ShadowSettings().max_depth) == (8192, 8)


def test_a_depth_that_would_exhaust_the_stack_is_refused():
    assert ShadowSettings(max_depth=100).max_depth == 100
    with pytest.raises(
        ConfigError, match=r"shadow\.max_depth: found 101, expected a whole number from 1 to 100"
    ):
        ShadowSettings(max_depth=101)
