"""The report of a job: one HTML file that holds all it shows, and asks no network for anything.

data      what is shown, as JSON: sampled and counted, so that the file stays below 8 MB
page      the file: template, styles, scripts and data in one
assets/   the template, the styles, and the scripts; `vendor/` has Apache ECharts, which the build brings
"""

from sparkcider.report.page import render

__all__ = ["render"]
