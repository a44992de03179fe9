"""The root command and the one place where an error becomes a sentence and an exit status."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import NoReturn

import typer

from compose.cli.console import stderr
from graph.errors import HeliographError

VERBS = {
    "setup": ("setup",),
    "stack": ("up", "down", "status"),
    "night": ("demo", "simulate", "replay"),
    "services": ("ingest", "listen", "coordinate", "serve"),
    "look": ("events", "visits", "lists", "cypher", "ledger", "notice"),
    "classify": ("classify",),
    "link": ("link",),
    "crossmatch": ("crossmatch",),
    "models": ("train", "evaluate", "catalogue"),
    "associate": ("associate",),
    "explore": ("explore",),
    "learn": ("learn",),
    "archive": ("archive",),
    "calibrate": ("calibrate",),
    "correlate": ("correlate",),
    "recover": ("recover",),
    "bench": ("bench",),
}
"""Module of ``compose.cli`` -> its verbs. Only the module of the verb at hand is imported: ``status`` answers at once,
while Spark and scikit-learn take seconds to load."""


def build_app(verb: str | None = None) -> typer.Typer:
    """Return the command line, with every verb unless one is named that exists."""
    app = typer.Typer(
        name="heliograph",
        help="Turns the changing sky into a live graph and says where to point telescopes.",
        no_args_is_help=True,
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
    )
    # With a single command, Typer would take the verb for an argument.
    app.callback()(lambda: None)
    for name, verbs in VERBS.items():
        if verb is None or verb in verbs:
            module = import_module(f"compose.cli.{name}")
            for each in verbs:
                app.command()(getattr(module, each))
    return app


def main() -> None:
    """Run the command line; exit status 0 for success, 1 for a failure, 2 for wrong usage."""
    named = sys.argv[1] if len(sys.argv) > 1 else None
    known = any(named in verbs for verbs in VERBS.values())
    try:
        build_app(named if known else None)()
    except HeliographError as error:
        _fail(str(error))
    except OSError as error:
        # A full disk, a folder that may not be written, a socket that is taken.
        _fail(f"{error.filename or 'The system'}: {error.strerror or error}.")


def _fail(sentence: str) -> NoReturn:
    """Say what failed and end with status 1."""
    stderr.print(sentence, style="red", markup=False, highlight=False, soft_wrap=True)
    sys.exit(1)
