"""Whether there is a PySpark that this package can use: what imports it, by itself or by others, imports this first."""

OLDEST_PYSPARK = (3, 5)
"""The oldest whose column functions, stages and Arrow functions this package uses."""

try:
    import pyspark
except ModuleNotFoundError as error:
    if error.name != "pyspark":
        raise
    raise ImportError(
        "this part of sparkcider needs PySpark 3.5 or later, which is not installed: pip install "
        "'pyspark>=3.5' 'pandas>=2,<3'"
    ) from error
if tuple(int(part) for part in pyspark.__version__.split(".")[:2]) < OLDEST_PYSPARK:
    raise ImportError(
        f"sparkcider needs PySpark 3.5 or later, and this is {pyspark.__version__}: pip install 'pyspark>=3.5', on a "
        "cluster a release with Spark 3.5 or later"
    )
