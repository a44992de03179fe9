"""The verb that classifies recorded alerts without any server."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
import typer
from numpy.typing import NDArray
from rich.box import SIMPLE_HEAD
from rich.table import Table

from compose.cli.console import print_json, stderr
from compose.config import load_settings
from graph.model import Survey
from ingest.alerts.columns import AlertColumns
from ingest.alerts.decode import AlertDecoder
from ingest.catalogues.opened import open_catalogues
from ingest.classifiers.contract import Classifications, batch_of
from ingest.classifiers.registry import load_modules
from ingest.classifiers.run import Outcome, Runner
from ingest.crossmatch import match_alerts
from ingest.replay import iter_alert_messages

MESSAGES_AT_A_TIME = 500
"""Alerts decoded at a time; bounds memory at about 50 MB."""

SCHEMA = pa.schema(
    [
        ("survey", pa.string()),
        ("object_id", pa.string()),
        ("detection_id", pa.string()),
        ("classifier", pa.string()),
        ("version", pa.string()),
        ("class", pa.string()),
        ("probability", pa.float64()),
        ("std", pa.float64()),
        ("n_points", pa.int64()),
        ("out_of_distribution", pa.bool_()),
    ]
)
"""Columns of the table; identifiers are text, for they do not fit into the doubles of most readers."""


class TableForm(StrEnum):
    """Forms in which the answers are printed."""

    JSON = "json"
    CSV = "csv"
    PARQUET = "parquet"


def classify(
    files: Annotated[list[Path], typer.Argument(exists=True, help="Alert packets: files or folders.")],
    table: Annotated[TableForm, typer.Option(help="Form of the answers on stdout.")] = TableForm.JSON,
) -> None:
    """Classify alerts without any server: one row for each alert and classifier that answered."""
    counts: Counter[tuple[str, str]] = Counter()
    refused, parts = 0, []
    for survey in Survey:
        for answers, n_refused in _answers(files, survey):
            refused += n_refused
            pairs = zip(answers["classifier"].to_pylist(), answers["class"].to_pylist(), strict=True)
            counts.update((name, kind) for name, kind in pairs if kind is not None)
            if table is TableForm.JSON:
                for line in answers.to_pylist():
                    print_json(line)
            else:
                parts.append(answers)
    if table is not TableForm.JSON:
        sys.stdout.buffer.write(_file(pa.concat_tables([SCHEMA.empty_table(), *parts]), table))
    stderr.print(_summary(counts))
    if refused:
        stderr.print(f"{refused} packets could not be read.")
        raise typer.Exit(1)


def _answers(files: Sequence[Path], survey: Survey) -> Iterator[tuple[pa.Table, int]]:
    """Yield the answers on the alerts of one survey, some at a time, and how many packets could not be read."""
    settings = load_settings().ingest
    decoder, catalogues = AlertDecoder(survey), open_catalogues(settings.catalogue_dir)
    runner = Runner(load_modules(survey), time_limit_s=settings.classifier_time_limit_s)
    messages = (packet for path in files for found, packet in iter_alert_messages(path) if found is survey)
    while batch := list(islice(messages, MESSAGES_AT_A_TIME)):
        columns, rejects = decoder.decode(batch)
        yield answer_table(columns, runner.run(batch_of(columns, match_alerts(catalogues, columns)))), len(rejects)


def answer_table(columns: AlertColumns, outcome: Outcome) -> pa.Table:
    """Return the answers on n alerts, alert by alert, in the columns of `SCHEMA`.

    An alert on which no classifier has anything to say has one row, without a class.
    """
    n = len(columns)
    silent = np.ones(n, np.bool_)
    parts = []
    for answer in outcome.answers.values():
        row = np.flatnonzero(~answer.abstained)
        silent[row] = False
        parts.append((row, answer.take(row)))
    parts.append((np.flatnonzero(silent), outcome.leading(n).take(np.flatnonzero(silent))))
    row = np.concatenate([part for part, _ in parts])
    order = np.argsort(row, kind="stable")
    answers = [_rows(answer) for _, answer in parts]
    joined = {name: np.concatenate([part[name] for part in answers])[order] for name in answers[0]}
    known = {
        "survey": np.full(len(row), columns.survey.value, dtype=object),
        "object_id": columns.object_id[row[order]],
        "detection_id": columns.detection_id[row[order]].astype(str),
    }
    arrays = {**known, **joined}
    return pa.table(
        [pa.array(arrays[field.name], type=field.type, from_pandas=True) for field in SCHEMA], schema=SCHEMA
    )


def _rows(answer: Classifications) -> dict[str, NDArray[np.generic]]:
    """Return the columns of one classifier's answers; None and NaN where it abstains."""
    n, kind = len(answer), answer.top_class
    kind[answer.abstained] = None
    return {
        "classifier": np.full(n, answer.classifier, dtype=object),
        "version": np.full(n, answer.version, dtype=object),
        "class": kind,
        "probability": answer.top_probability.astype(np.float64),
        "std": answer.std,
        "n_points": answer.n_points,
        "out_of_distribution": answer.out_of_distribution,
    }


def _file(answers: pa.Table, form: TableForm) -> bytes:
    """Return a table as the bytes of a file."""
    sink = pa.BufferOutputStream()
    if form is TableForm.CSV:
        pyarrow.csv.write_csv(answers.combine_chunks(), sink)
    else:
        pyarrow.parquet.write_table(answers, sink, compression="zstd")
    return bytes(sink.getvalue().to_pybytes())


def _summary(counts: Counter[tuple[str, str]]) -> Table:
    """Return the number of answers by classifier and class."""
    shown = Table("classifier", "class", "alerts", box=SIMPLE_HEAD)
    for (name, kind), number in sorted(counts.items(), key=lambda item: (item[0][0], -item[1])):
        shown.add_row(name, kind, str(number))
    return shown
