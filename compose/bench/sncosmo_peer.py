"""sncosmo on the same light curves: fits of a type Ia supernova's spectral template in all bands at once."""

from __future__ import annotations

import warnings
from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from ingest.alerts.columns import AB_ZERO_POINT_NJY_MAG, BANDS
from ingest.classifiers.rise_features import WAVELENGTH_NM, WINDOW_D

if TYPE_CHECKING:
    from collections.abc import Callable

    from ingest.alerts.columns import AlertColumns

SOURCE: Final = "hsiao-subsampled"
"""Template of Hsiao et al. 2007, doi:10.1086/518232: the only one that lies in the package; SALT2 and SALT3 are
downloaded on first use. With redshift, time of peak, amplitude and host extinction a fit has four parameters, one of
SALT2 has five: a fit of SALT2 takes longer."""

PARAMETERS: Final = ("z", "t0", "amplitude", "hostebv")
"""What is fitted: redshift, time of peak [d], amplitude, colour excess of the host [mag]."""

BOUNDS: Final = {"z": (0.01, 1.0), "hostebv": (0.0, 1.0)}
"""Range of the redshift, which alerts do not carry, and of the colour excess [mag]: those of supernovae that LSST
finds."""

BAND_HALF_WIDTH_NM: Final = 65.0
"""Half the width of the band passes [nm]: those of LSST are 120 to 150 nm wide, LSST Science Book, arXiv:0912.0201.
They are flat here: the time of a fit goes with their width, not with their shape."""

MIN_POINTS: Final = 8
"""Points below which nothing is fitted: twice the parameters."""

MIN_SNR: Final = 5.0
"""Signal to noise of the best point below which sncosmo refuses, its own default."""

MAX_FITS: Final = 20
"""Light curves that are fitted, spread evenly over the alerts: a fit takes 0.2 s with 20 points, seconds with 500."""


def works(alerts: AlertColumns) -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is measured, by its name in the report, and of how many light curves; nothing if not installed."""
    try:
        peer: Any = import_module("sncosmo")
        import_module("iminuit")
    except ImportError:
        return {}
    tables = photometry(peer, alerts, MAX_FITS)
    if not tables:
        return {}
    model = template(peer)
    return {"sncosmo_fit": (lambda: [fit(peer, model, table) for table in tables], len(tables))}


def template(peer: Any) -> Any:  # noqa: ANN401 - the peer is untyped
    """Return the model that is fitted: the template behind the dust of its host."""
    return peer.Model(SOURCE, effects=[peer.CCM89Dust()], effect_names=["host"], effect_frames=["rest"])


def photometry(peer: Any, alerts: AlertColumns, most: int) -> list[dict[str, Any]]:  # noqa: ANN401 - the peer is untyped
    """Return the last `WINDOW_D` of light curves that can be fitted, as columns that sncosmo takes."""
    bands = np.empty(len(BANDS), dtype=object)
    for code, middle_nm in enumerate(WAVELENGTH_NM[alerts.survey]):
        edges_angstrom = 10.0 * (middle_nm + np.array([-BAND_HALF_WIDTH_NM, BAND_HALF_WIDTH_NM]))
        bands[code] = peer.Bandpass(edges_angstrom, np.ones(2))
    points = alerts.light_curves
    tables: list[dict[str, Any]] = []
    for start, stop in zip(points.offsets[:-1].tolist(), points.offsets[1:].tolist(), strict=True):
        time = points.midpoint_mjd_tai[start:stop]
        flux, err = points.psf_flux_njy[start:stop], points.psf_flux_err_njy[start:stop]
        good = np.isfinite(flux) & (err > 0.0) & (time >= time.max(initial=-np.inf) - WINDOW_D)
        n = int(good.sum())
        if n < MIN_POINTS or (flux[good] / err[good]).max() < MIN_SNR:
            continue
        table = {"time": time[good], "band": bands[points.band[start:stop][good]], "flux": flux[good]}
        scale = {"zp": np.full(n, AB_ZERO_POINT_NJY_MAG), "zpsys": np.full(n, "ab")}
        tables.append(table | {"fluxerr": err[good]} | scale)
    spread = np.unique(np.linspace(0, len(tables) - 1, min(most, len(tables))).astype(int))
    return [tables[row] for row in spread.tolist()]


def fit(peer: Any, model: Any, table: dict[str, Any]) -> dict[str, float]:  # noqa: ANN401 - the peer is untyped
    """Return the fitted parameters of one light curve, see `PARAMETERS`; the model itself stays as it is."""
    with warnings.catch_warnings():
        # Most alerts are no supernovae, and the peer says so at length.
        warnings.simplefilter("ignore")
        result, _ = peer.fit_lc(table, model, list(PARAMETERS), bounds=BOUNDS, minsnr=MIN_SNR, warn=False)
    return dict(zip(result.param_names, np.asarray(result.parameters).tolist(), strict=True))
