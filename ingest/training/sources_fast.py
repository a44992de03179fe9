"""What was published on kilonovae: AT2017gfo's light curve, and a table of principal-component features."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.model import Survey
from graph.times import mjd_utc_to_tai
from ingest.alerts.columns import ForcedPhotometry, LightCurves
from ingest.training.forests import Rows
from ingest.training.histories import flux_from_magnitude
from ingest.training.labelled import Labelled

if TYPE_CHECKING:
    from pathlib import Path

FloatArray = NDArray[np.float64]

AT2017GFO_DEG: Final = (197.4504, -23.3815)
"""Position [deg, ICRS]; Coulter et al. 2017, doi:10.1126/science.aap9811."""

AT2017GFO_MPC: Final = 40.7
"""Distance of its host NGC 4993 [Mpc]; Cantiello et al. 2018, doi:10.3847/2041-8213/aaad64."""

AT2017GFO_Z: Final = 0.0098
"""Redshift of NGC 4993; Hjorth et al. 2017, doi:10.3847/2041-8213/aa9110."""

AT2017GFO_MERGER_MJD_UTC: Final = 57982.52852
"""Time of GW170817 [d, UTC], 2017-08-17 12:41:04; Abbott et al. 2017, doi:10.1103/PhysRevLett.119.161101."""

BAND_CODES: Final = {
    Survey.ZTF: {"g": 1, "r": 2},
    Survey.LSST: {"u": 0, "g": 1, "r": 2, "i": 3, "z": 4, "y": 5, "Y": 5},
}
"""Filter of the published photometry -> band of a survey; others are left out."""

FINK_FEATURES: Final = (
    "residuo_g", "coeff1_g", "maxflux_g", "npoints_g", "residuo_r", "coeff1_r", "maxflux_r", "npoints_r",
)  # fmt: skip
"""Columns of the published table."""


def at2017gfo(data_dir: Path, survey: Survey) -> Labelled:
    """Return AT2017gfo, real, from some sixty telescopes, in the bands of a survey; to judge with only."""
    table = pd.read_csv(data_dir / "lightcurves" / "redback_at2017gfo.csv").sort_values("time", kind="stable")
    codes = BAND_CODES[survey]
    table = table[table["band"].isin(list(codes))]
    flux = flux_from_magnitude(table["magnitude"].to_numpy(np.float64))
    err = flux * table["e_magnitude"].to_numpy(np.float64) * np.log(10.0) / 2.5
    n, none = len(table), np.empty(0)
    return Labelled(
        object_id=np.array(["AT2017gfo"], dtype=object),
        label=np.array(["KN"], dtype=object),
        source=np.array(["at2017gfo"], dtype=object),
        curves=LightCurves(
            np.array([0, n]),
            mjd_utc_to_tai(table["time"].to_numpy(np.float64)),
            table["band"].map(codes).to_numpy(np.int64).astype(np.int8),
            flux,
            err,
            np.full(n, np.nan),
        ),
        forced=ForcedPhotometry(np.zeros(2, np.int64), none, np.empty(0, np.int8), none, none),
        ra_deg=np.array([AT2017GFO_DEG[0]]),
        dec_deg=np.array([AT2017GFO_DEG[1]]),
        redshift=np.array([AT2017GFO_Z]),
        redshift_err=np.array([0.0002]),
        peak_mjd_tai=mjd_utc_to_tai(np.array([AT2017GFO_MERGER_MJD_UTC + 0.6])),
    )


def fink_kn(data_dir: Path, part: str) -> Rows:
    """Return a part of the table of one-component fits to simulated ZTF light curves, ``train`` or ``test``.

    The published columns come with what follows from them: the fits in units of their largest flux, the colour at
    maximum, and residuals for each point. Labels are those of the table: ``KN`` and seventeen others.
    """
    table = pd.read_parquet(data_dir / "features" / f"fink_kn_1pc_{part}.parquet")
    given = table[list(FINK_FEATURES)].to_numpy(np.float64)
    residual, coefficient, largest, n = (given[:, [column, column + 4]] for column in range(4))
    derived = [
        coefficient[:, 0] - coefficient[:, 1],
        coefficient[:, 0] / coefficient[:, 1],
        np.log10(largest[:, 0] / largest[:, 1]),
        *(np.log10(residual) - 2.0 * np.log10(coefficient)).T,
        *(residual / n).T,
        residual.sum(axis=1) / n.sum(axis=1),
        np.log10(residual[:, 0] / residual[:, 1]),
        n.sum(axis=1),
    ]
    return Rows(
        np.column_stack([given, *derived]), table["class"].to_numpy(object), table["SNID"].astype(str).to_numpy(object)
    )
