"""The verb that links objects of the two surveys that are one."""

from __future__ import annotations

from typing import Annotated

import numpy as np
import typer

from compose.association import associate_all
from compose.cli.console import print_json, progress_bar, set_up_logging, stdout
from compose.cli.located import located_settings
from compose.services import prepare
from graph.association import SAME_FROM


def associate(
    *, as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of a sentence.")] = False
) -> None:
    """Find the objects that ZTF and LSST both saw, in the whole graph, and link them."""
    settings = located_settings()
    set_up_logging(settings.log_level)
    cells = pairs = withdrawn = 0
    with prepare(settings) as connection, progress_bar() as bar:
        task = bar.add_task("cells", total=None)
        for links in associate_all(connection):
            cells += 1
            pairs += int(np.sum(links.probability >= SAME_FROM))
            withdrawn += int(np.sum(links.probability == 0.0))
            bar.update(task, completed=cells)
    if as_json:
        print_json({"cells": cells, "pairs": pairs, "withdrawn": withdrawn})
    else:
        stdout.print(f"{pairs} pairs in {cells} cells, {withdrawn} withdrawn.", highlight=False)
