import subprocess
import sys

import pytest

import edgecore.lambdas


def test_names_are_found_when_asked_for():
    assert edgecore.lambdas.FunctionsService.__name__ == "FunctionsService"
    assert edgecore.lambdas.LambdasSettings.__name__ == "LambdasSettings"
    with pytest.raises(AttributeError, match="no attribute 'Nonsense'"):
        _ = edgecore.lambdas.Nonsense


def test_the_worker_is_light():
    code = "import sys; import edgecore.lambdas.worker; print(*sys.modules)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    heavy = {"asyncio", "sqlite3", "aiohttp", "msgspec", "subprocess", "concurrent.futures", "dataclasses"}
    before = subprocess.run(
        [sys.executable, "-c", "import sys; print(*sys.modules)"], capture_output=True, text=True, check=True
    )
    assert (set(out.stdout.split()) - set(before.stdout.split())) & heavy == set()
