"""The version of batchcap, as pyproject.toml has it."""

__version__ = "0.1.0"
