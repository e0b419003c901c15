"""The version of the package, for all that say it."""

__version__ = "0.2.0"
