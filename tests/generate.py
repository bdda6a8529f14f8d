"""Draws legal configurations, which must work, and corrupted inputs, refused.

python -m tests.generate --legal 40 --corrupt 500 --seed 0
python -m tests.generate --legal 1 --only 17     # one again; or --corrupt 1

A configuration is drawn from one number, its seed, which a failure names.
"""

import argparse
import os
import sys
import time

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")


def corrupted(seeds: range) -> list[str]:
    """Returns what was refused otherwise than it should be."""
    from tests import corrupted as each

    found = []
    for seed in seeds:
        if (wrong := each.failure(each.draw(seed))) is not None:
            found.append(f"corrupted {seed}: {wrong}")
            print(found[-1], flush=True)
    return found


def legal(seeds: range) -> tuple[list[str], list[str]]:
    """Returns what failed, and what models refused by name."""
    from tests import legal as each

    failed, refused = [], []
    for seed in seeds:
        wrong, how = each.failure(seed)
        if wrong is not None:
            failed.append(f"legal {seed}: {wrong}")
            print(failed[-1], flush=True)
        elif how != "works":
            refused.append(f"legal {seed}: {how}")
            print(refused[-1], flush=True)
    return failed, refused


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--legal", type=int, default=0, help="how many")
    parser.add_argument("--corrupt", type=int, default=0, help="how many")
    parser.add_argument("--seed", type=int, default=0, help="of the first")
    parser.add_argument("--only", type=int, help="the seed of the one to repeat")
    given = parser.parse_args()
    first = given.seed * 1_000_000 if given.only is None else given.only
    started = time.monotonic()
    failed, refused = legal(range(first, first + given.legal))
    wrong = corrupted(range(first, first + given.corrupt))
    worked = given.legal - len(failed) - len(refused)
    print(
        f"legal: {worked} built, trained, saved, loaded and trained on, {len(refused)} "
        f"refused by their model; corrupted: {given.corrupt - len(wrong)} refused; "
        f"{time.monotonic() - started:.0f} s; failures: {len(failed) + len(wrong)}"
    )
    return 1 if failed or wrong else 0


if __name__ == "__main__":
    sys.exit(main())
