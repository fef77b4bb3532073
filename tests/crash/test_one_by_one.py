"""strace shows no acknowledgement before the sync that covers it; `make test-long` looks at 100,000."""

import pytest

from tests.crash import one_by_one, strace

MESSAGES = 100


@pytest.mark.scenario
@pytest.mark.xdist_group("crash")
@pytest.mark.skipif(bool(strace.why_not()), reason=strace.why_not())
async def test_no_acknowledgement_leaves_before_the_sync_that_covers_it(tmp_path):
    core = await one_by_one.prepare(tmp_path)
    run = await one_by_one.run(core, 1, MESSAGES)
    # A message at QoS 2 has two answers, PUBREC and PUBCOMP.
    twice = sum(qos == 2 for _, qos, _ in one_by_one.KINDS) * MESSAGES // len(one_by_one.KINDS)
    assert (run.finding.answers, run.finding.early) == (MESSAGES + twice, [])
    # The control: where nothing is durable there is no sync, and the same checker says so.
    control = await one_by_one.run(core, 2, 3, one_by_one.KEPT_BY_NOBODY)
    assert [text.rpartition(": ")[2] for text in control.finding.early] == ["not written"] * 3
