"""Power cuts by replay, in the short form; `make test-long` makes 500."""

import pytest

from tests.crash import power, strace
from tests.crash.law import Verdict

CUTS = 20


@pytest.mark.scenario
@pytest.mark.xdist_group("crash")
@pytest.mark.timeout(600)
@pytest.mark.skipif(bool(strace.why_not()), reason=strace.why_not())
async def test_the_core_starts_from_every_cut_and_holds_what_was_acknowledged(tmp_path):
    recording = await power.record(tmp_path / "recording", 1, load=0.3)
    total, dropped = Verdict(), 0
    async for cut in power.cut_and_verify(recording, 1, CUTS, tmp_path / "cut"):
        total.add(cut.verdict)
        dropped += cut.pending
    assert total.broken == {}, total.examples
    assert total.counts["expected"] > 1_000
    assert dropped > CUTS

    # The control: on a disk that ignores syncs the same cut loses what was acknowledged.
    control = await power.end_on_a_disk_that_lies(recording, tmp_path / "control")
    assert control.counts["lost"] > 10
    assert control.counts["session_lost"] > 0
    assert control.counts["device"] == 2
