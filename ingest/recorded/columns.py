"""Recorded columns taken as the types of a packet, with the identifiers that a table tool has blurred made exact."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

LARGEST_EXACT = 2**53
"""Whole numbers beyond this are not exact in a float64; identifiers of both surveys are."""

_LIMIT = 2.0**63

_TWINS = (
    (("diaSource", "diaSourceId"), ("diaSourceId",)),
    (("diaSourceId",), ("diaSource", "diaSourceId")),
    (("diaObject", "diaObjectId"), ("diaSource", "diaObjectId")),
    (("diaSource", "diaObjectId"), ("diaObject", "diaObjectId")),
    (("candidate", "candid"), ("candid",)),
    (("candid",), ("candidate", "candid")),
)
"""Places where a packet says the same identifier twice."""


def take_as(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    """Return recorded values as another type of those that `ingest.recorded.fields` names.

    Notes
    -----
    A record of nulls only is null. What is no whole number is null where one is wanted, NaN among it; elsewhere NaN
    stays NaN.
    """
    if pa.types.is_struct(wanted):
        return _take_struct(array, wanted)
    if pa.types.is_large_list(wanted):
        return _take_list(array, wanted)
    if pa.types.is_dictionary(array.type):
        array = array.dictionary_decode()
    if pa.types.is_int64(wanted):
        return _take_whole(array)
    return array if array.type == wanted else array.cast(wanted)


def _take_struct(array: pa.Array, wanted: pa.StructType) -> pa.Array:
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), wanted)
    # Of fields of the same name the first counts; Arrow finds none of them by name.
    places = [field.name for field in array.type]
    children = [take_as(array.field(places.index(field.name)), field.type) for field in wanted]
    said = np.zeros(len(array), dtype=np.bool_)
    for child in children:
        said |= valid_of(child)
    return pa.StructArray.from_arrays(children, fields=list(wanted), mask=pa.array(~(said & valid_of(array))))


def _take_list(array: pa.Array, wanted: pa.DataType) -> pa.Array:
    if pa.types.is_null(array.type):
        return pa.nulls(len(array), wanted)
    offsets = array.offsets.to_numpy().astype(np.int64)
    items = array.values.slice(int(offsets[0]), int(offsets[-1] - offsets[0]))
    return pa.LargeListArray.from_arrays(
        pa.array(offsets - offsets[0]), take_as(items, wanted.value_type), mask=pa.array(~valid_of(array))
    )


def _take_whole(array: pa.Array) -> pa.Array:
    if pa.types.is_timestamp(array.type):
        # Avro's timestamps count microseconds.
        return array.cast(pa.timestamp("us", array.type.tz), safe=False).cast(pa.int64())
    if pa.types.is_floating(array.type):
        values = array.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        whole = (np.abs(values) < _LIMIT) & (values == np.floor(values))
        return pa.array(np.where(whole, values, 0.0).astype(np.int64), mask=~whole)
    if pa.types.is_uint64(array.type):
        array = pc.if_else(pc.less(array, pa.scalar(2**63, pa.uint64())), array, pa.scalar(None, pa.uint64()))
    return array if pa.types.is_int64(array.type) else array.cast(pa.int64())


def valid_of(array: pa.Array) -> np.ndarray[tuple[int], np.dtype[np.bool_]]:
    """Return (n,) which values are there."""
    valid: np.ndarray[tuple[int], np.dtype[np.bool_]] = array.is_valid().to_numpy(zero_copy_only=False)
    return valid


def mend_ids(packets: pa.StructArray) -> pa.StructArray:
    """Return packets whose own identifiers, where they became floating-point numbers, are exact or null.

    Notes
    -----
    Most packets say an identifier twice, and the other place is often exact. Where none is, an identifier beyond
    `LARGEST_EXACT` would name a stranger and is better absent: the decoder then refuses the packet and says why.
    """
    for path, twin in _TWINS:
        blurred, exact = _get(packets, path), _get(packets, twin)
        if blurred is None or not pa.types.is_floating(blurred.type):
            continue
        values = blurred.cast(pa.float64()).fill_null(np.nan).to_numpy(zero_copy_only=False)
        known = take_as(blurred, pa.int64())
        sure = np.abs(values) <= LARGEST_EXACT
        stated = known.fill_null(0).to_numpy(zero_copy_only=False)
        if exact is not None and pa.types.is_integer(exact.type):
            other = exact.cast(pa.int64()).fill_null(0).to_numpy(zero_copy_only=False)
            same = valid_of(exact) & (other.astype(np.float64) == values)
            stated, sure = np.where(same, other, stated), sure | same
        packets = _put(packets, path, pa.array(stated, mask=~(sure & valid_of(known))))
    return packets


def _get(packets: pa.StructArray, path: tuple[str, ...]) -> pa.Array | None:
    """Return a field, null where a record around it is; None where there is none."""
    array = packets
    for name in path:
        if not pa.types.is_struct(array.type) or array.type.get_field_index(name) < 0:
            return None
        array = pc.struct_field(array, name)
    return array


def _put(packets: pa.StructArray, path: tuple[str, ...], values: pa.Array) -> pa.StructArray:
    """Return packets with other values of a field."""
    at = packets.type.get_field_index(path[0])
    children = [packets.field(i) for i in range(packets.type.num_fields)]
    children[at] = _put(children[at], path[1:], values) if len(path) > 1 else values
    names = [field.name for field in packets.type]
    return pa.StructArray.from_arrays(children, names=names, mask=pa.array(~valid_of(packets)))
