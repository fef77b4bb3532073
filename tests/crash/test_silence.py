"""Silent cuts in the middle of a batch; 200 of them: `python -m tests.crash silence`."""

from tests.crash import silence

CUTS = 5


async def test_silent_cuts_lose_nothing(tmp_path):
    rows = await silence.play(tmp_path, CUTS)
    assert [row["lost"] for row in rows] == [0] * CUTS
    assert sum(row["after"] for row in rows) > 0  # some of the batches were met in the middle
