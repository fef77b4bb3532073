from pathlib import Path

import pytest

from edgecore.base.errors import FrameSourceError
from edgecore.inference.sources.address import parse_address


def test_kind_rest_and_options():
    address = parse_address("synthetic:traffic?seed=7&scene=night")
    assert (address.scheme, address.rest) == ("synthetic", "traffic")
    assert address.options == {"seed": "7", "scene": "night"}


def test_a_kind_alone():
    assert parse_address("picamera2").scheme == "picamera2"


@pytest.mark.parametrize("text", ["synthetic:traffic?seed=1&seed=2", "synthetic:traffic?&&"])
def test_options_given_twice_or_empty_are_refused(text):
    with pytest.raises(FrameSourceError, match="given twice or has no value"):
        parse_address(text)


def test_an_unknown_option_is_named_with_the_nearest_one():
    with pytest.raises(FrameSourceError, match=r"found option 'sed'.*did you mean 'seed'"):
        parse_address("synthetic:traffic?sed=7").only(("seed", "fps"))
    with pytest.raises(FrameSourceError, match="expected none"):
        parse_address("folder:x?zzz=7").only(())


@pytest.mark.parametrize("found", ["ten", "0", "nan", "-1", "inf", ""])
def test_a_number_out_of_range_is_refused(found):
    with pytest.raises(FrameSourceError, match=r"expected a number from 0\.01 to 1000"):
        parse_address(f"file:x?fps={found}").period(0.1)


def test_period_is_every_unless_fps_is_given():
    assert parse_address("file:x").period(0.2) == pytest.approx(0.2)
    assert parse_address("file:x?fps=25").period(0.2) == pytest.approx(0.04)


def test_paths_start_from_the_root():
    assert parse_address("file:a/b.mp4").path(Path("/group")) == Path("/group/a/b.mp4")
    assert parse_address("file:/b.mp4").path(Path("/group")) == Path("/b.mp4")
    with pytest.raises(FrameSourceError, match="expected a path after file:"):
        parse_address("file:").path(Path("/group"))
