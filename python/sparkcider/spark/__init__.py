"""What runs on Spark: column builders, pipeline stages, and the passes of a fit. `worker` runs on the executors."""
