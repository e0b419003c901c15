"""Whole jobs, from the start of a process to its exit: images on disk to features and components in Parquet.

    python benches/python/whole_job.py [ROW ...] [--daft PYTHON] [--baseline PYTHON_OR_FOLDER] [--rounds 3] [--quick]

Each job is a process of its own, on two cores (others are left alone), with 100 standardised components. The limit is
onnxruntime alone on ready tensors, one session of one thread for each core, right before and right after each job;
ratios take the mean of both. What is compared runs in turn, A B A B; medians, and what the rounds span. Files are read
from memory, as they were just written or read.

Rows: float32, int8, keras, small, spark, spark-large, growth, photos; all of them take half an hour.

Needs the test data (SPARKCIDER_TEST_DATA), onnxruntime and pillow; `keras` and `small` also tensorflow, `spark` pyspark
and, to compare, an earlier version (--baseline: its interpreter, or its folder for PYTHONPATH); `float32` Daft, of this
interpreter or another one's (--daft). A row that lacks something says so.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
import tempfile
import time
from pathlib import Path

from jobs.bench import CORES, Bench, Finding
from jobs.data import DATA
from jobs.rows import ROWS


def parsed() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("rows", nargs="*", metavar="ROW", help=f"of {', '.join(ROWS)} (default: all)")
    add = parser.add_argument
    add("--fruits", type=Path, default=DATA / "fruits", help="has Test and Training (default: %(default)s)")
    add("--photos", type=Path, default=DATA / "photos", help="with some large ones (default: %(default)s)")
    add("--model", type=Path, default=DATA / "models" / "mobilenetv2_imagenet.onnx", help="default: %(default)s")
    add("--daft", metavar="PYTHON", default=sys.executable, help="an interpreter that has daft (default: this one)")
    add("--baseline", metavar="PYTHON_OR_FOLDER", help="earlier version: an interpreter, or a folder for PYTHONPATH")
    add("--rounds", type=int, help="default: 3; --quick: 1")
    add("--quick", action="store_true", help="few images: shows that the bench works, measures nothing")
    add("--folder", type=Path, help="for images and results (default: a temporary one)")
    add("--json", type=Path, help="write all that was measured")
    options = parser.parse_args()
    unknown = sorted(set(options.rows) - set(ROWS))
    if unknown:
        parser.error(f"no row is called {', '.join(unknown)}; rows: {', '.join(ROWS)}")
    return options


def print_table(findings: list[Finding]) -> None:
    """As Markdown."""
    print("\n| row | what | wanted | found | |\n|---|---|---|---|---|")
    for row, what, wanted, found, reached in findings:
        verdict = {True: "reached", False: "**not reached**", None: ""}[reached]
        print(f"| {row} | {what} | {wanted} | {found} | {verdict} |")


def main() -> None:
    """Measures and prints."""
    options = parsed()
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:CORES])  # all that is started inherits it
    loads = [os.getloadavg()[0]]
    findings: list[Finding] = []
    with tempfile.TemporaryDirectory(prefix="whole-job-", dir=options.folder) as folder:
        bench = Bench(options, Path(folder))
        for row in options.rows or ROWS:
            print(f"{row}, {time.strftime('%H:%M:%S')}, load {os.getloadavg()[0]:.1f}", flush=True)
            findings += ROWS[row](bench)
            loads.append(os.getloadavg()[0])
    print_table(findings)
    if options.quick:
        print("\nThese are numbers of few images: they say that the bench works, and nothing else.")
    if options.json:
        machine = {"machine": platform.platform(), "python": platform.python_version(), "loads": loads}
        found = [finding._asdict() for finding in findings]
        options.json.write_text(json.dumps({**machine, "findings": found, "timed": bench.timed}, indent=2) + "\n")


if __name__ == "__main__":
    main()
