"""The verb that makes a fresh installation ready: Java archives and compiled classifiers."""

from __future__ import annotations

from compose.cli.console import progress_bar
from compose.stack.jars import fetch_jars
from compose.stack.java import check_java
from graph.model import Survey
from ingest.classifiers.registry import load_modules
from ingest.classifiers.warm import warm_up


def setup() -> None:
    """Check Java, fetch the Java archives of the embedded servers and compile; 'make setup' calls this."""
    check_java()
    with progress_bar() as progress:
        task = progress.add_task("Java archives", total=None)
        fetch_jars(lambda done, total: progress.update(task, completed=done, total=total))
        task = progress.add_task("Classifiers", total=len(Survey))
        for survey in Survey:
            # numba keeps what it compiles beside the code: the first batch of a night shall not wait for it.
            warm_up(load_modules(survey), survey)
            progress.advance(task)
