"""Alerts in Parquet, as brokers distribute them, to the packets that the survey sent."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from graph.errors import MalformedPacketError
from graph.model import Survey
from ingest.recorded.columns import mend_ids, take_as
from ingest.recorded.encode import PacketWriter
from ingest.recorded.fields import known_fields, packet_type

PARQUET_MAGIC = b"PAR1"
"""First and last bytes of every Parquet file; its format specification, "File format"."""

BATCH_ROWS = 64
"""Alerts read at once; an LSST alert with a long history takes up to half a megabyte encoded, and more in columns."""

MAX_GROUP_BYTES = 4 << 30
"""Largest row group that is read [byte, uncompressed]; writers aim at 0.1 to 1 GB. Bounds what small files claim."""

_RECORD_OF_SURVEY = {Survey.LSST: "diaSource", Survey.ZTF: "candidate"}


def iter_parquet(source: Path | bytes, name: str) -> Iterator[tuple[Survey, bytes]] | None:
    """Return the packets of a Parquet file, each as an Avro container of its own; None if it holds no alerts.

    Parameters
    ----------
    source : where the file lies, or its bytes.
    name : what to call it in errors.

    Notes
    -----
    Read and encoded a few rows at a time. Names, nesting, values, nulls and NaN are those of the file; columns that
    no version of the survey's packets has are a broker's and are left out.

    Raises
    ------
    MalformedPacketError : the file is damaged, now or when the damaged part is reached.
    """
    try:
        file = pq.ParquetFile(source if isinstance(source, Path) else pa.BufferReader(source))
        groups = [file.metadata.row_group(i).total_byte_size for i in range(file.metadata.num_row_groups)]
        recorded = file.schema_arrow
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MalformedPacketError(f"The Parquet file {name} is damaged.") from error
    survey = survey_of_columns(recorded)
    if survey is None:
        return None
    if max(groups, default=0) > MAX_GROUP_BYTES:
        raise MalformedPacketError(f"A row group of {name} is larger than {MAX_GROUP_BYTES} bytes.")
    return ((survey, packet) for packet in _packets(file, survey, name))


def survey_of_columns(recorded: pa.Schema) -> Survey | None:
    """Return the survey whose packets a table holds, None if it holds none."""
    for survey, record in _RECORD_OF_SURVEY.items():
        places = recorded.get_all_field_indices(record)
        if len(places) == 1 and pa.types.is_struct(recorded.field(places[0]).type):
            return survey
    return None


def _packets(file: pq.ParquetFile, survey: Survey, name: str) -> Iterator[bytes]:
    known = known_fields(survey)
    columns = [field.name for field in file.schema_arrow if field.name in known]
    writer: PacketWriter | None = None
    try:
        for batch in file.iter_batches(batch_size=BATCH_ROWS, columns=columns, use_threads=False):
            packets = mend_ids(pa.StructArray.from_arrays(batch.columns, names=batch.schema.names))
            wanted = packet_type(packets.type, survey)
            writer = writer or PacketWriter(survey, wanted)
            yield from writer.write(take_as(packets, wanted))
    except (pa.ArrowException, OSError, ValueError) as error:
        raise MalformedPacketError(f"The Parquet file {name} is damaged.") from error
