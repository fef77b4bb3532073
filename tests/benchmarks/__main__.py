"""`make bench`: every benchmark, beside its peer, in one run. `make bench ARGS="broker --rounds 5"` for one."""

from __future__ import annotations

import importlib
import sys

BENCHMARKS = ("broker", "outbox", "shadows")


def main(argv: list[str]) -> int:
    names = argv[:1] if argv[:1] and argv[0] in BENCHMARKS else list(BENCHMARKS)
    rest = argv[1:] if argv[:1] == names else argv
    return max(importlib.import_module(f"tests.benchmarks.{name}").main(rest) for name in names)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
