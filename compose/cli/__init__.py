"""The command line: one verb for each thing a user does."""

from compose.cli.main import main

__all__ = ["main"]
