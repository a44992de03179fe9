"""The record types of a ZTF packet, version 4.02, as tables of field names and types.

Names, types and order are those of the packets on the wire, so that any consumer of ZTF reads ours. A question mark
says that the field may be null.
"""

from __future__ import annotations

import json
from typing import Any

ZTF_SCHEMA_VERSION = "4.02"
"""Newest version seen in the stream (2025)."""

CANDIDATE_FIELDS = """
    jd:double fid:int pid:long diffmaglim:float? pdiffimfilename:string? programpi:string? programid:int candid:long
    isdiffpos:string tblid:long? nid:int? rcid:int? field:int? xpos:float? ypos:float? ra:double dec:double
    magpsf:float sigmapsf:float chipsf:float? magap:float? sigmagap:float? distnr:float? magnr:float?
    sigmagnr:float? chinr:float? sharpnr:float? sky:float? magdiff:float? fwhm:float? classtar:float?
    mindtoedge:float? magfromlim:float? seeratio:float? aimage:float? bimage:float? aimagerat:float?
    bimagerat:float? elong:float? nneg:int? nbad:int? rb:float? ssdistnr:float? ssmagnr:float? ssnamenr:string?
    sumrat:float? magapbig:float? sigmagapbig:float? ranr:double decnr:double sgmag1:float? srmag1:float?
    simag1:float? szmag1:float? sgscore1:float? distpsnr1:float? ndethist:int ncovhist:int jdstarthist:double?
    jdendhist:double? scorr:double? tooflag:int? objectidps1:long? objectidps2:long? sgmag2:float? srmag2:float?
    simag2:float? szmag2:float? sgscore2:float? distpsnr2:float? objectidps3:long? sgmag3:float? srmag3:float?
    simag3:float? szmag3:float? sgscore3:float? distpsnr3:float? nmtchps:int rfid:long jdstartref:double
    jdendref:double nframesref:int rbversion:string dsnrms:float? ssnrms:float? dsdiff:float? magzpsci:float?
    magzpsciunc:float? magzpscirms:float? nmatches:int clrcoeff:float? clrcounc:float? zpclrcov:float? zpmed:float?
    clrmed:float? clrrms:float? neargaia:float? neargaiabright:float? maggaia:float? maggaiabright:float?
    exptime:float? drb:float? drbversion:string
"""
"""The detection that triggered the alert."""

PRV_CANDIDATE_FIELDS = """
    jd:double fid:int pid:long diffmaglim:float? pdiffimfilename:string? programpi:string? programid:int
    candid:long? isdiffpos:string? tblid:long? nid:int? rcid:int? field:int? xpos:float? ypos:float? ra:double?
    dec:double? magpsf:float? sigmapsf:float? chipsf:float? magap:float? sigmagap:float? distnr:float? magnr:float?
    sigmagnr:float? chinr:float? sharpnr:float? sky:float? magdiff:float? fwhm:float? classtar:float?
    mindtoedge:float? magfromlim:float? seeratio:float? aimage:float? bimage:float? aimagerat:float?
    bimagerat:float? elong:float? nneg:int? nbad:int? rb:float? ssdistnr:float? ssmagnr:float? ssnamenr:string?
    sumrat:float? magapbig:float? sigmagapbig:float? ranr:double? decnr:double? scorr:double? magzpsci:float?
    magzpsciunc:float? magzpscirms:float? clrcoeff:float? clrcounc:float? rbversion:string
"""
"""One visit of the last 30 days; an upper limit has a null ``candid``."""

FP_HIST_FIELDS = """
    field:int? rcid:int? fid:int pid:long rfid:long sciinpseeing:float? scibckgnd:float? scisigpix:float?
    magzpsci:float? magzpsciunc:float? magzpscirms:float? clrcoeff:float? clrcounc:float? exptime:float?
    adpctdif1:float? adpctdif2:float? diffmaglim:float? programid:int jd:double forcediffimflux:float?
    forcediffimfluxunc:float? procstatus:string? distnr:float? ranr:double decnr:double magnr:float? sigmagnr:float?
    chinr:float? sharpnr:float?
"""
"""Forced photometry of one visit of the last 30 days."""

CUTOUT_FIELDS = "fileName:string stampData:bytes"
"""A gzipped FITS stamp of 63 by 63 pixels."""


def _fields(table: str) -> list[dict[str, Any]]:
    fields: list[dict[str, Any]] = []
    for word in table.split():
        name, _, declared = word.partition(":")
        if declared.endswith("?"):
            fields.append({"name": name, "type": ["null", declared[:-1]], "default": None})
        else:
            fields.append({"name": name, "type": declared})
    return fields


def _record(name: str, table: str) -> dict[str, Any]:
    return {"type": "record", "namespace": "ztf.alert", "name": name, "fields": _fields(table)}


CANDIDATE = _record("candidate", CANDIDATE_FIELDS)
"""Record of `CANDIDATE_FIELDS`."""

PRV_CANDIDATE = _record("prv_candidate", PRV_CANDIDATE_FIELDS)
"""Record of `PRV_CANDIDATE_FIELDS`."""

FP_HIST = _record("fp_hist", FP_HIST_FIELDS)
"""Record of `FP_HIST_FIELDS`."""

CUTOUT = _record("cutout", CUTOUT_FIELDS)
"""Record of `CUTOUT_FIELDS`."""


def _optional(name: str, declared: Any) -> dict[str, Any]:  # noqa: ANN401 - a name, a record or an array
    return {"name": name, "type": ["null", declared], "default": None}


ALERT: dict[str, Any] = {
    "type": "record",
    "namespace": "ztf",
    "name": "alert",
    "version": ZTF_SCHEMA_VERSION,
    "fields": [
        *_fields("schemavsn:string publisher:string objectId:string candid:long"),
        {"name": "candidate", "type": CANDIDATE},
        _optional("prv_candidates", {"type": "array", "items": PRV_CANDIDATE}),
        _optional("fp_hists", {"type": "array", "items": FP_HIST}),
        _optional("cutoutScience", CUTOUT),
        _optional("cutoutTemplate", "ztf.alert.cutout"),
        _optional("cutoutDifference", "ztf.alert.cutout"),
    ],
}
"""The whole packet."""


WITHOUT_CUTOUTS: dict[str, Any] = {**ALERT, "fields": ALERT["fields"][:-3]}
"""The packet up to its cutouts, which are copied behind it."""

CUTOUT_NAME: dict[str, Any] = {"type": "record", "name": "cutout_name", "fields": _fields("fileName:string?")}
"""A cutout up to its stamp: the branch of the union, which reads as that of the name, and the name."""


def schema_json() -> bytes:
    """Return the packet's schema as it is embedded in each file."""
    return json.dumps(ALERT, separators=(",", ":")).encode()
