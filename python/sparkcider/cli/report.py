"""The command `report`: findings and report of a result that has none, or of any features in Parquet."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from sparkcider.cli.parser import add_command, finish_command, show

if TYPE_CHECKING:
    import argparse


def add_commands(commands: Any) -> None:
    """Adds the command to the subparsers of `sparkcider`."""
    report = add_command(
        commands,
        "report",
        summary="write the report of a result, or of features in Parquet",
        example="sparkcider report out",
        description="Looks for duplicates, outliers and suspect labels, and writes one HTML file that shows them, the "
        "map of the images and what ran.",
    )
    report.add_argument(
        "features",
        metavar="OUT",
        help="folder or URI that `sparkcider run` has written, or Parquet with the columns path and features, and "
        "label, thumbnail, digest and fingerprint if it has them",
    )
    report.add_argument(
        "--output", metavar="FILE", help="path or URI of the report (default: report.html in OUT, or beside the file)"
    )
    report.add_argument(
        "--all",
        dest="everything",
        action="store_true",
        help="look at all images (default: at a sample where there are over 50,000); time grows with their square",
    )
    finish_command(report, _report)


def _report(options: argparse.Namespace) -> int:
    from sparkcider.job.finished import report_on

    written = report_on(options.features, options.output, everything=options.everything)
    show(options, {"report": written}, [written])
    return 0
