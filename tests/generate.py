"""Draws legal configurations, which must work, and corrupted inputs, refused.

python -m tests.generate --legal 40 --corrupt 500 --seed 0
python -m tests.generate --legal 1 --only 17     # one again; or --corrupt 1

A configuration is drawn from one number, its seed, which a failure names.
"""

import argparse
import os
import sys
import time
import traceback

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def corrupted(seeds: range) -> list[str]:
    """Returns what was refused otherwise than it should be."""
    from tests import corrupted as each

    found = []
    for seed in seeds:
        case = each.draw(seed)
        if (wrong := each.failure(case)) is not None:
            found.append(f"corrupted {seed}: {wrong}")
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--legal", type=int, default=0, help="how many")
    parser.add_argument("--corrupt", type=int, default=0, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--only", type=int, help="the seed of the one to repeat")
    given = parser.parse_args()
    first = given.seed * 1_000_000 if given.only is None else given.only
    started = time.monotonic()
    failures = []
    failures += corrupted(range(first, first + given.corrupt))
    for failure in failures:
        print(failure)
    seconds = time.monotonic() - started
    print(f"corrupted: {given.corrupt} refused; {seconds:.0f} s; failures: {len(failures)}")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
