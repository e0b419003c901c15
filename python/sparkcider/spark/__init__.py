"""What runs on Spark: column builders, pipeline stages, and the passes of a fit. `worker` runs on the executors."""

import sys

# PySpark is imported by what needs it, never by this module: `worker` and its like work without it.
if "pyspark" in sys.modules:
    import sparkcider.spark.installed  # noqa: F401 - looks at its version
