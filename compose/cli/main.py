"""The root command and the one place where an error becomes a sentence and an exit status."""

from __future__ import annotations

import sys

import typer

from compose.cli import bench, look, models, night, services, stack
from compose.cli.console import stderr
from graph.errors import HeliographError

app = typer.Typer(
    name="heliograph",
    help="Turns the changing sky into a live graph and says where to point telescopes.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
for part in (stack, night, services, look, models, bench):
    part.register(app)


def main() -> None:
    """Run the command line; exit status 0 for success, 1 for a failure, 2 for wrong usage."""
    try:
        app()
    except HeliographError as error:
        stderr.print(str(error), style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(1)
