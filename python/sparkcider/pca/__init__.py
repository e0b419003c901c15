"""The fit of a PCA as every engine does it: what is asked, which solver, the passes, what is saved; without pyspark."""
