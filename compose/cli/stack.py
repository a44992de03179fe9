"""Verbs for the embedded servers: up, down, status."""

from __future__ import annotations

from typing import Annotated

import typer
from rich.table import Table

from compose.cli.console import print_json, stderr, stdout
from compose.config import load_settings
from compose.stack import embedded

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON instead of a table.")]


def up(as_json: AsJson = False) -> None:
    """Start the embedded Neo4j and Kafka; what runs already is left alone."""
    settings = load_settings()
    with stderr.status("Starting Neo4j and Kafka"):
        stack = embedded.up(settings, detached=True)
    if as_json:
        print_json(stack)
        return
    what = ", ".join(stack.started_here) or "nothing: everything was up"
    stdout.print(
        f"Started {what}. Neo4j {stack.bolt_uri}, Kafka {stack.bootstrap_servers}", highlight=False, soft_wrap=True
    )


def down() -> None:
    """Stop the embedded servers."""
    stopped = embedded.down(load_settings())
    stdout.print(f"Stopped {', '.join(stopped) or 'nothing: nothing was up'}.")


def status(as_json: AsJson = False) -> None:
    """Show the embedded servers; exit status 1 when one has crashed or does not answer."""
    report = embedded.status(load_settings())
    if as_json:
        print_json(report)
    else:
        table = Table("server", "state", "port", "pid", "log", "last line")
        for name, server in report.items():
            table.add_row(name, *(str(server.get(field, "")) for field in ("state", "port", "pid", "log", "last_line")))
        stdout.print(table)
    if any(server["state"] in ("crashed", "silent") for server in report.values()):
        raise typer.Exit(1)
