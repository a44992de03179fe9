"""Parquet as brokers distribute it, replayed: what is decoded is what stands in the file."""

from __future__ import annotations

import io
import math
import tarfile
from functools import cache
from typing import TYPE_CHECKING, Any

import fastavro
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from graph.errors import MalformedPacketError
from graph.model import Survey
from ingest.alerts.decode import AlertDecoder
from ingest.recorded.parquet import BATCH_ROWS, MAX_GROUP_BYTES, iter_parquet
from ingest.replay import iter_alert_messages

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ingest.alerts.columns import AlertColumns

TAI_MINUS_UTC_S = 37.0
HALF_EXPOSURE_S = 15.0

ZTF_FIELDS = {"schemavsn", "publisher", "objectId", "candid", "candidate", "prv_candidates", "fp_hists"}
CUTOUTS = {"cutoutScience", "cutoutTemplate", "cutoutDifference"}


def parquet_files(shared_data: Path, survey: Survey) -> list[Path]:
    folders = {Survey.ZTF: ("ztf_fink_parquet",), Survey.LSST: ("lsst_fink_parquet", "elasticc")}[survey]
    found = [path for folder in folders for path in sorted((shared_data / "alerts" / folder).rglob("*.parquet"))]
    assert found
    return found


def leaf(table: pa.Table, *names: str) -> np.ndarray:
    """Return a nested column as numbers, NaN where null; pyarrow alone."""
    array = table[names[0]].combine_chunks()
    for name in names[1:]:
        if array.type.get_field_index(name) < 0:
            return np.full(len(array), np.nan)
        array = pc.struct_field(array, name)
    if pa.types.is_string(array.type) or pa.types.is_large_string(array.type):
        return np.array(array.to_pylist(), dtype=object)
    return array.to_numpy(zero_copy_only=False)


def history(table: pa.Table, column: str, *names: str) -> Iterator[tuple[Any, ...]]:
    """Return the row and some values of each point of the histories; pyarrow alone."""
    array = table[column].combine_chunks()
    points = pc.list_flatten(array)
    values = [pc.struct_field(points, name).to_pylist() for name in names]
    return zip(pc.list_parent_indices(array).to_pylist(), *values, strict=True)


def points_of(columns: AlertColumns, values: np.ndarray) -> list[tuple[int, float, float]]:
    curves = columns.light_curves
    owner = np.repeat(columns.row, np.diff(curves.offsets))
    chosen = np.isfinite(values)
    return sorted(
        zip(
            owner[chosen].tolist(),
            np.round(curves.midpoint_mjd_tai[chosen], 7).tolist(),
            values[chosen].tolist(),
            strict=True,
        )
    )


def same(found: list[tuple[int, float, float]], expected: list[tuple[int, float, float]]) -> None:
    assert len(found) == len(expected)
    if found:
        one, other = (np.array(points, dtype=np.float64) for points in (found, sorted(expected)))
        np.testing.assert_array_equal(one[:, 0], other[:, 0])
        np.testing.assert_allclose(one[:, 1], other[:, 1], rtol=0, atol=2e-7)
        np.testing.assert_allclose(one[:, 2], other[:, 2], rtol=1e-6)


def flux_of(mag: float, sign: str) -> float:
    # The AB zero point that LSST gives for its fluxes in nJy.
    return (1.0 if sign in "t1" else -1.0) * 10 ** (0.4 * (31.4 - float(mag)))


def mjd_of(jd: float) -> float:
    return jd - 2400000.5 + (TAI_MINUS_UTC_S + HALF_EXPOSURE_S) / 86400.0


@pytest.fixture(scope="module")
def sent_from() -> Callable[[Path], list[tuple[Survey, bytes]]]:
    """Return what replays a recorded file, once for all tests of this module."""
    return cache(lambda path: list(iter_alert_messages(path)))


def replay(path: Path, survey: Survey) -> tuple[AlertColumns, list[int], list[bytes]]:
    return decoded(list(iter_alert_messages(path)), survey)


def decoded(sent: list[tuple[Survey, bytes]], survey: Survey) -> tuple[AlertColumns, list[int], list[bytes]]:
    assert {found for found, _ in sent} == {survey}
    messages = [message for _, message in sent]
    columns, rejects = AlertDecoder(survey).decode(messages)
    return columns, [reject.row for reject in rejects], messages


def test_recorded_ztf_is_decoded_to_what_the_file_says(
    shared_data: Path, sent_from: Callable[[Path], list[tuple[Survey, bytes]]]
) -> None:
    total = 0
    for path in parquet_files(shared_data, Survey.ZTF):
        table = pq.read_table(path, columns=["objectId", "candid", "candidate", "prv_candidates"])
        columns, rejected, messages = decoded(sent_from(path), Survey.ZTF)
        assert len(messages) == table.num_rows == len(columns)
        assert rejected == []
        total += len(messages)
        assert columns.object_id.tolist() == table["objectId"].to_pylist()
        assert columns.detection_id.tolist() == table["candid"].to_pylist()
        np.testing.assert_array_equal(columns.ra_deg, leaf(table, "candidate", "ra"))
        np.testing.assert_array_equal(columns.dec_deg, leaf(table, "candidate", "dec"))
        own = [
            (row, mjd_of(jd), flux_of(mag, sign))
            for row, (jd, mag, sign) in enumerate(
                zip(*(leaf(table, "candidate", name) for name in ("jd", "magpsf", "isdiffpos")), strict=True)
            )
        ]
        np.testing.assert_allclose(columns.midpoint_mjd_tai, [time for _, time, _ in own], rtol=0, atol=1e-7)
        np.testing.assert_allclose(columns.psf_flux_njy, [flux for _, _, flux in own], rtol=1e-6)
        candid = table["candid"].to_pylist()
        seen, limits = own, []
        names = ("candid", "jd", "magpsf", "isdiffpos", "diffmaglim")
        for row, point_id, jd, mag, sign, limit in history(table, "prv_candidates", *names):
            if point_id is None or math.isnan(point_id):
                limits.append((row, mjd_of(jd), flux_of(limit, "t")))
            elif int(point_id) != candid[row]:
                seen.append((row, mjd_of(jd), flux_of(mag, sign)))
        same(points_of(columns, columns.light_curves.psf_flux_njy), seen)
        same(points_of(columns, columns.light_curves.upper_limit_njy), limits)
    assert total > 800


def lsst_names(table: pa.Table) -> tuple[str, str, str]:
    """Return what the table calls declination, time and flux."""
    names = {field.name for field in table.schema.field("diaSource").type}
    return ("decl", "midPointTai", "psFlux") if "decl" in names else ("dec", "midpointMjdTai", "psfFlux")


def test_recorded_lsst_is_decoded_to_what_the_file_says(
    shared_data: Path, sent_from: Callable[[Path], list[tuple[Survey, bytes]]]
) -> None:
    total = 0
    for path in parquet_files(shared_data, Survey.LSST):
        table = pq.read_table(path, columns=["diaSource", "prvDiaSources", "diaObject"])
        dec, time, flux = lsst_names(table)
        columns, rejected, messages = decoded(sent_from(path), Survey.LSST)
        assert len(messages) == table.num_rows
        total += len(messages)
        ra = leaf(table, "diaSource", "ra")
        good = np.isfinite(ra) & (ra >= 0) & (ra <= 360)
        assert rejected == np.flatnonzero(~good).tolist()
        assert columns.row.tolist() == np.flatnonzero(good).tolist()
        source_id = leaf(table, "diaSource", "diaSourceId")
        object_id = table["diaSource"].combine_chunks().field("diaObjectId").to_pylist()
        assert columns.detection_id.tolist() == source_id[good].tolist()
        assert columns.object_id.tolist() == [str(object_id[row] or "") for row in columns.row]
        np.testing.assert_array_equal(columns.ra_deg, ra[good])
        np.testing.assert_array_equal(columns.dec_deg, leaf(table, "diaSource", dec)[good])
        np.testing.assert_array_equal(columns.midpoint_mjd_tai, leaf(table, "diaSource", time)[good])
        np.testing.assert_array_equal(columns.psf_flux_njy, leaf(table, "diaSource", flux)[good].astype(np.float64))
        seen = [
            (row, columns.midpoint_mjd_tai[place], columns.psf_flux_njy[place])
            for place, row in enumerate(columns.row.tolist())
            if math.isfinite(columns.psf_flux_njy[place])
        ]
        for row, point_id, midpoint, value in history(table, "prvDiaSources", "diaSourceId", time, flux):
            if good[row] and value is not None and math.isfinite(value) and point_id != source_id[row]:
                seen.append((row, midpoint, value))
        same(points_of(columns, columns.light_curves.psf_flux_njy), seen)
    assert total > 1000


def unlike(found: Any, expected: Any, at: str = "") -> Iterator[str]:
    """Name the places where a decoded packet is not the recorded one."""
    if isinstance(expected, dict) and all(value is None for value in expected.values()):
        expected = None
    if isinstance(expected, dict) and isinstance(found, dict):
        for name in expected:
            yield from unlike(found.get(name), expected[name], f"{at}.{name}")
    elif isinstance(expected, list) and isinstance(found, list):
        if len(expected) != len(found):
            yield f"{at} has {len(found)} items"
        for one, other in zip(found, expected, strict=False):
            yield from unlike(one, other, at)
    elif isinstance(expected, float) and math.isnan(expected):
        # A whole number that a table tool made NaN is null.
        if found is not None and not math.isnan(found):
            yield f"{at} is {found}, not NaN"
    elif found != expected:
        yield f"{at} is {found}, not {expected}"


def sampled_rows(path: Path, columns: set[str]) -> Iterator[tuple[int, dict[str, Any]]]:
    file = pq.ParquetFile(path)
    table = file.read(columns=[name for name in file.schema_arrow.names if name in columns])
    for row in range(0, len(table), max(1, len(table) // 3)):
        yield row, table.slice(row, 1).to_pylist()[0]


def test_every_recorded_value_of_ztf_is_in_the_packet(
    shared_data: Path, sent_from: Callable[[Path], list[tuple[Survey, bytes]]]
) -> None:
    checked = 0
    for path in parquet_files(shared_data, Survey.ZTF):
        messages = [message for _, message in sent_from(path)]
        for row, expected in sampled_rows(path, ZTF_FIELDS | CUTOUTS):
            (found,) = fastavro.reader(io.BytesIO(messages[row]))
            assert set(found) == set(expected)
            assert list(unlike(found, expected)) == [], path.name
            checked += 1
    assert checked > 30


def test_every_recorded_value_of_lsst_is_in_the_packet(
    shared_data: Path, sent_from: Callable[[Path], list[tuple[Survey, bytes]]]
) -> None:
    dropped = {
        "brokerIngestTimestamp",
        "brokerIngestMjd",
        "timestamp",
        "year",
        "clf",
        "xm",
        "lsst_schema_version",
        "SNID",
    }
    for path in parquet_files(shared_data, Survey.LSST):
        if path.parent.name == "20260310" and not path.name.endswith("209652396.parquet"):
            # With histories of a thousand points it is the comparison that takes long; one such file is enough.
            continue
        names = set(pq.read_schema(path).names)
        sent = {"diaSourceId", "alertId", "diaSource", "diaObject", "ssSource", "prvDiaForcedSources"} | CUTOUTS
        messages = [message for _, message in sent_from(path)]
        for row, expected in sampled_rows(path, sent & names):
            (found,) = fastavro.reader(io.BytesIO(messages[row]))
            assert not set(found) & dropped
            if path.name.startswith("rubin_sample") and expected["diaObject"] is not None:
                # This file keeps the identifier of the object as a double; elsewhere it says it exactly.
                expected["diaObject"]["diaObjectId"] = expected["diaSource"]["diaObjectId"]
            assert list(unlike(found, expected)) == [], path.name
            if row > 100:
                break


def source(number: int, **other: object) -> dict[str, object]:
    common = {"midpointMjdTai": 61000.5, "band": "g", "psfFlux": 1.5, "psfFluxErr": 0.5, "ra": 10.0, "dec": -5.0}
    return {"diaSourceId": number, "diaObjectId": number + 1, **common, **other}


def write_alerts(path: Path, rows: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(rows), path)
    return path


BIG = 2**53 + 1


def test_rows_of_many_batches_and_groups_come_in_order(tmp_path: Path) -> None:
    n = 3 * BATCH_ROWS + 5
    table = pa.Table.from_pylist([{"diaSource": source(BIG + i), "xm": {"tns": "SN"}} for i in range(n)])
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=BATCH_ROWS + 7)
    columns, rejected, messages = replay(tmp_path, Survey.LSST)
    assert rejected == []
    assert columns.detection_id.tolist() == [BIG + i for i in range(n)]
    assert len({message[: message.index(b"diaSource")] for message in messages}) == 1
    assert b"tns" not in messages[0]


def test_identifiers_that_became_doubles_are_exact_or_absent(tmp_path: Path) -> None:
    rows = [
        {"diaSourceId": float(BIG + 2), "diaSource": source(BIG + 2), "diaObject": {"diaObjectId": float(BIG + 40)}},
        {"diaSourceId": None, "diaSource": source(7), "diaObject": {"diaObjectId": 8.0}},
    ]
    messages = [message for _, message in iter_alert_messages(write_alerts(tmp_path / "a.parquet", rows))]
    first, second = (next(fastavro.reader(io.BytesIO(message))) for message in messages)
    assert (first["diaSourceId"], first["diaObject"]) == (BIG + 2, None)
    assert (second["diaSourceId"], second["diaObject"]) == (None, {"diaObjectId": 8})
    columns, _ = AlertDecoder(Survey.LSST).decode(messages)
    assert columns.object_id.tolist() == [str(BIG + 3), "8"]


def test_null_nan_and_records_of_nulls_are_told_apart(tmp_path: Path) -> None:
    rows = [
        {"diaSource": source(1, snr=math.nan), "ssSource": {"ssObjectId": None}, "prvDiaSources": []},
        {"diaSource": source(2, snr=None), "ssSource": None, "prvDiaSources": None},
        {"diaSource": source(3, snr=2.5), "ssSource": {"ssObjectId": BIG}, "prvDiaSources": [source(9, snr=1.0)]},
    ]
    found = [
        next(fastavro.reader(io.BytesIO(message)))
        for _, message in iter_alert_messages(write_alerts(tmp_path / "a.parquet", rows))
    ]
    assert math.isnan(found[0]["diaSource"]["snr"])
    assert [packet["diaSource"]["snr"] for packet in found[1:]] == [None, 2.5]
    assert [packet["ssSource"] for packet in found] == [None, None, {"ssObjectId": BIG}]
    assert [packet["prvDiaSources"] for packet in found[:2]] == [[], None]
    assert found[2]["prvDiaSources"][0]["diaSourceId"] == 9


def test_other_parquet_is_passed_over_in_a_folder_and_refused_alone(tmp_path: Path) -> None:
    pq.write_table(pa.table({"detection_id": [1], "class": ["SN"]}), tmp_path / "truth.parquet")
    write_alerts(tmp_path / "alerts.parquet", [{"diaSource": source(5)}])
    assert len(list(iter_alert_messages(tmp_path))) == 1
    with pytest.raises(MalformedPacketError, match=r"truth\.parquet holds no alerts"):
        list(iter_alert_messages(tmp_path / "truth.parquet"))


def test_parquet_in_an_archive_is_read_like_in_a_folder(tmp_path: Path) -> None:
    path = write_alerts(tmp_path / "alerts.parquet", [{"diaSource": source(5)}, {"diaSource": source(6)}])
    pq.write_table(pa.table({"class": ["SN"]}), tmp_path / "truth.parquet")
    with tarfile.open(tmp_path / "night.tar.gz", "w:gz") as archive:
        archive.add(tmp_path / "truth.parquet", "night/truth.parquet")
        archive.add(path, "night/alerts.parquet")
    assert list(iter_alert_messages(tmp_path / "night.tar.gz")) == list(iter_alert_messages(path))


def fault_of(data: bytes) -> str | None:
    try:
        packets = iter_parquet(data, "a.parquet")
        assert packets is None or len(list(packets)) <= 1000
    except MalformedPacketError as error:
        return str(error)
    return None


def test_damaged_parquet_is_refused_in_one_sentence(tmp_path: Path) -> None:
    whole = write_alerts(tmp_path / "a.parquet", [{"diaSource": source(i)} for i in range(40)]).read_bytes()
    rng = np.random.default_rng(1)
    faults = [fault_of(whole[: rng.integers(len(whole))]) for _ in range(50)]
    assert set(faults) == {"The Parquet file a.parquet is damaged."}
    for _ in range(400):
        data = bytearray(whole)
        for place in rng.integers(len(data) // 2, len(data), size=3):
            data[place] = rng.integers(256)
        faults.append(fault_of(bytes(data)))
    assert set(faults) <= {None, "The Parquet file a.parquet is damaged."}
    assert sum(fault is not None for fault in faults) > 200


def test_a_row_group_that_claims_too_much_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_alerts(tmp_path / "a.parquet", [{"diaSource": source(5)}])
    monkeypatch.setattr("ingest.recorded.parquet.MAX_GROUP_BYTES", 10)
    assert MAX_GROUP_BYTES > 10
    with pytest.raises(MalformedPacketError, match="row group"):
        iter_parquet(path, path.name)
