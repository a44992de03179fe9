"""The normalised columns of alerts: what is left once a survey's wire format is gone.

Absent is one thing: NaN in a float column, -1 in an integer column, an empty string in a text column. Null, NaN and
the surveys' sentinels (ZTF's -999) never travel further.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from graph.model import Survey

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
ByteArray = NDArray[np.int8]
BoolArray = NDArray[np.bool_]
TextArray = NDArray[np.object_]

BANDS = "ugrizy"
"""Band letters; a band's code is its place here. ZTF fid 1, 2, 3 is g, r, i."""

AB_ZERO_POINT_NJY_MAG = 31.4
"""AB magnitude of 1 nJy [mag]: -2.5 log10(1e-9 Jy / 3631 Jy) = 31.4000; Oke & Gunn 1983, doi:10.1086/160817."""


@dataclass(frozen=True, eq=False, slots=True)
class LightCurves:
    """Light curves of n objects as one ragged array, each in order of time, the alert's own point included."""

    offsets: IntArray
    """(n + 1,) points ``offsets[i]`` to ``offsets[i + 1]`` belong to row i."""
    midpoint_mjd_tai: FloatArray
    """(p,) [d, TAI]."""
    band: ByteArray
    """(p,) code, see `BANDS`."""
    psf_flux_njy: FloatArray
    """(p,) signed difference flux [nJy]; NaN for an upper limit."""
    psf_flux_err_njy: FloatArray
    """(p,) 1 sigma [nJy]; NaN for an upper limit."""
    upper_limit_njy: FloatArray
    """(p,) 5 sigma limiting flux [nJy] of a visit that saw nothing; NaN for a detection."""

    def __len__(self) -> int:
        """Return the number of light curves."""
        return len(self.offsets) - 1


@dataclass(frozen=True, eq=False, slots=True)
class AlertColumns:
    """n alerts of one survey; row i of every column is the same alert."""

    survey: Survey
    row: IntArray
    """(n,) index of the message in the batch that was decoded; ascending."""
    object_id: TextArray
    """(n,) ZTF objectId; LSST diaObjectId as decimal text; empty when the alert is of a moving body only."""
    detection_id: IntArray
    """(n,) ZTF candid, LSST diaSourceId."""
    ra_deg: FloatArray
    """(n,) [deg, ICRS]."""
    dec_deg: FloatArray
    """(n,) [deg, ICRS]."""
    midpoint_mjd_tai: FloatArray
    """(n,) middle of the exposure [d, TAI]. ZTF's jd is the start in UTC of a 30 s exposure."""
    band: ByteArray
    psf_flux_njy: FloatArray
    """(n,) signed difference flux [nJy]; ZTF from magpsf and isdiffpos."""
    psf_flux_err_njy: FloatArray
    reliability: FloatArray
    """(n,) 0 bogus to 1 real; ZTF drb, else rb; LSST reliability; NaN when absent."""
    solar_system_id: TextArray
    """(n,) known moving body that the survey itself associated (ZTF ssnamenr within 5 arcsec; LSST ssObjectId)."""
    is_public: BoolArray
    """(n,) ZTF programid 1; every LSST alert."""
    n_detections: IntArray
    """(n,) detections so far as the survey counts (ZTF ndethist, LSST diaObject.nDiaSources), -1 when absent."""
    first_midpoint_mjd_tai: FloatArray
    """(n,) first detection known to the packet: the earliest of its history and the survey's own record [d, TAI]."""
    star_galaxy_score: FloatArray
    """(n,) 1 star to 0 galaxy of the nearest PS1 source (ZTF sgscore1); NaN when absent."""
    nearest_source_arcsec: FloatArray
    """(n,) distance of that source [arcsec] (ZTF distpsnr1); NaN when absent."""
    light_curves: LightCurves

    def __len__(self) -> int:
        """Return the number of alerts."""
        return len(self.row)


@dataclass(frozen=True, slots=True)
class Reject:
    """A message that could not be read."""

    row: int
    """Index of the message in the batch."""
    reason: str
    """`graph.errors.WireError.reason` of the error."""
    message: str
    """One sentence."""
