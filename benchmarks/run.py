"""Runs the comparisons of speed, one after the other, and writes RESULTS.md.

    python benchmarks/run.py [section ...] [--data FOLDER]

`make bench` installs the other libraries, each into an environment of its own, and
calls this. RESULTS.md has what each script printed, its command, and in front what the
machine can do, versions, and every claim with the word whether it holds. FOLDER has the
folder `frappe_x1`, which cannot be shipped; without it that section is left out and
RESULTS.md says so. A script that fails is named, and the run fails at its end.

All contenders run with huge pages for large arrays (glibc's `hugetlb` tunable), which
look-ups in large tables profit from.
"""

import argparse
import datetime
import importlib.metadata
import os
import platform
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from machine import copy_rate, gemm_rate
from training_speed import ENVIRONMENTS, HERE

RESULTS, PLOTS = HERE / "RESULTS.md", HERE / "plots"
PACKAGES = {
    "": ("tensorflow", "keras", "numpy", "pyarrow", "duckdb", "faiss-cpu"),
    "torch": ("torch", "fuxictr", "fbgemm-gpu-cpu"),
    "tf215": ("tensorflow", "keras", "deep-rec-kit", "deepctr"),
}
VERSIONS = """
import importlib.metadata as m, sys
print(", ".join(f"{p} {m.version(p)}" for p in sys.argv[1:]))
"""


@dataclass(frozen=True)
class Section:
    """A script and its arguments."""

    title: str
    script: str
    arguments: tuple[str, ...] = ()


def sections(data: Path | None) -> dict[str, Section]:
    frappe = str(data / "frappe_x1") if data else "FOLDER"
    plots = str(PLOTS.relative_to(HERE.parent))
    return {
        "training": Section(
            "Training step, beside other libraries",
            "training_speed",
            ("--plot", f"{plots}/training_speed.svg"),
        ),
        "roofline": Section("Training step against arithmetic and memory", "roofline"),
        "auc": Section("Time to an AUC", "frappe_speed", (frappe,)),
        "reader": Section("Input", "reader_speed"),
        "predict": Section("Inference", "predict_speed"),
        "pipeline": Section("Preparation", "pipeline_speed"),
        "startup": Section("Start-up", "startup"),
        "memory": Section("Memory", "memory"),
        "metrics": Section("Metrics", "metrics_speed"),
        "topk": Section("Exact top-k", "topk", ("--plot", f"{plots}/topk.svg")),
    }


def run(section: Section) -> tuple[str, bool]:
    """Returns what a script printed, and whether it ended well.

    If not, what it said of that goes to the terminal.
    """
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            [sys.executable, f"benchmarks/{section.script}.py", *section.arguments],
            cwd=HERE.parent,
            env={**os.environ, "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"},
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        )
        lines = []
        for line in process.stdout or ():
            print(line, end="", flush=True)
            lines.append(line.rstrip())
        ended_well = process.wait() == 0
        if not ended_well:
            errors.seek(0)
            print(*errors.readlines()[-30:], sep="", file=sys.stderr)
    return "\n".join(lines), ended_well


def of_machine() -> str:
    cpu = platform.processor()
    info = Path("/proc/cpuinfo")
    if info.exists():
        names = [line for line in info.read_text().splitlines() if "model name" in line]
        cpu = names[0].split(":")[1].strip() if names else cpu
    lines = [
        f"{datetime.date.today()}, {cpu}, {os.cpu_count()} cores, "
        f"{platform.system()}, Python {platform.python_version()}",
        f"square products {gemm_rate() / 1e9:.0f} GFLOP/s, "
        f"copies on one core {copy_rate() / 1e9:.1f} GB/s",
        ", ".join(f"{p} {importlib.metadata.version(p)}" for p in PACKAGES[""]),
    ]
    for environment, packages in PACKAGES.items():
        python = ENVIRONMENTS / environment / "bin" / "python"
        if environment and python.exists():
            command = [python, "-c", VERSIONS, *packages]
            told = subprocess.run(command, capture_output=True, text=True, check=True)
            lines.append(f"beside them: {told.stdout.strip()}")
    return "\n".join(f"- {line}" for line in lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("sections", nargs="*", help="default: all")
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    known = sections(args.data)
    chosen = args.sections or [*known]
    PLOTS.mkdir(exist_ok=True)

    head = (
        "# Measured\n\n"
        "Written by `make bench`: every number below is of one run on one machine.\n\n"
        f"{of_machine()}\n\n## Claims\n\n"
    )
    text, claims, failed = [], [], []
    for name in chosen:
        section = known[name]
        command = " ".join(
            ["python", f"benchmarks/{section.script}.py", *section.arguments]
        ).replace(str(args.data), "FOLDER")
        text.append(f"## {section.title}\n\n`{command}`\n")
        if name == "auc" and args.data is None:
            text.append("Not run: the data are not here.\n")
            continue
        print(f"\n{section.title}", flush=True)
        printed, ended_well = run(section)
        if not ended_well:
            failed.append(name)
            text.append("**This script failed.**\n")
        lines = printed.splitlines()
        found = [line for line in lines if line.startswith("claim: ")]
        claims += [f"- {line.removeprefix('claim: ')}" for line in found]
        shown = "\n".join(lines).replace(str(args.data), "FOLDER")
        text.append(f"```text\n{shown}\n```\n")
        for plot in section.arguments[1:]:
            if plot.endswith(".svg"):
                text.append(f"![{section.title}](plots/{Path(plot).name})\n")
        # After each section: what was measured is not lost if a later one is stopped.
        RESULTS.write_text(head + "\n".join([*claims, "", *text]))
    print(f"written: {RESULTS.relative_to(HERE.parent)}")
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
