"""What runs on Spark: column builders, pipeline stages, and the passes of a fit. `worker` runs on the executors."""

import sys

OLDEST_PYSPARK = (3, 5)
"""The oldest whose column functions, stages and Arrow functions this package uses."""

# PySpark is imported by what needs it, never by this module: `worker` and its like work without it.
_pyspark = sys.modules.get("pyspark")
if _pyspark is not None and tuple(int(part) for part in _pyspark.__version__.split(".")[:2]) < OLDEST_PYSPARK:
    raise ImportError(
        f"sparkcider needs PySpark 3.5 or later, and this is {_pyspark.__version__}: pip install 'pyspark>=3.5', on a "
        "cluster a release with Spark 3.5 or later"
    )
