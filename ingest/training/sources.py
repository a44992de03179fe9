"""Published collections of light curves as `Labelled` columns, classes named as in `graph.taxonomy`.

``LICENCES`` says of each collection whether models may be fitted on it: without a licence that allows it, or with one
that would bind the models, a collection is judged with only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from graph.times import mjd_utc_to_tai
from ingest.alerts.columns import BANDS, ForcedPhotometry, LightCurves, no_forced, ragged_offsets
from ingest.training.histories import FLUXCAL_NJY, HALF_EXPOSURE_D, flux_from_magnitude
from ingest.training.labelled import Labelled, concatenate

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FloatArray = NDArray[np.float64]
BoolArray = NDArray[np.bool_]

LICENCES: Final[Mapping[str, tuple[str, bool]]] = {
    "plasticc": ("PLAsTiCC simulated LSST light curves, CC-BY-4.0, doi:10.5281/zenodo.2539456", True),
    "spcc": ("Supernova Photometric Classification Challenge, simulated DES, public; doi:10.1086/657607", True),
    "alerce": ("ZTF light curves of 30 supernovae, alercebroker/lc_classifier, MIT", True),
    "slsn": ("Superluminous supernovae with ZTF photometry, SLSNe, MIT", True),
    "elasticc": ("ELAsTiCC simulated LSST alerts, Apache-2.0", True),
    "packet": ("ZTF public alert packets, labels from public catalogues, Apache-2.0, BSD and MIT collections", True),
    "fink_kn": ("Kilonova principal-component features, fink-kilonovae, Apache-2.0", True),
    "bts": ("ZTF Bright Transient Survey type Ia supernovae, no licence stated", False),
    "stripe82": ("RR Lyrae of SDSS Stripe 82, no licence stated; doi:10.1088/0004-637X/708/1/717", False),
    "ogle2": ("OGLE-II microlensing and variable stars as kept with MicroLIA, GPL-3.0", False),
    "microlia": ("OGLE-IV features of MicroLIA, GPL-3.0", False),
    "actsn": ("Bazin features of SPCC supernovae of ActSNClass, AGPL-3.0", False),
    "at2017gfo": ("AT 2017gfo photometry as kept with redback, GPL-3.0", False),
}
"""Collection -> (what it is and its licence, whether models are fitted on it)."""

PLASTICC_CLASSES: Final[Mapping[str, str]] = {
    **dict.fromkeys(("SNIa", "SNIa-91bg", "SNIax"), "SN Ia"),
    "SNII": "SN II",
    "SNIbc": "SN Ibc",
    "SLSN-I": "SLSN",
    "TDE": "TDE",
    "KN": "KN",
    "AGN": "AGN",
    "M-dwarf": "M-dwarf flare",
    "uLens-Single": "microlensing",
    "RRL": "RRL",
    "EB": "EB",
    "Mira": "LPV",
}
"""Class of the PLAsTiCC truth table -> ours."""


def _detected(forced: ForcedPhotometry, seen: BoolArray) -> LightCurves:
    """Return the points (p,) of forced photometry that are detections as light curves without limits."""
    owner = np.repeat(np.arange(len(forced)), np.diff(forced.offsets))
    return LightCurves(
        ragged_offsets(owner[seen], len(forced)),
        forced.midpoint_mjd_tai[seen],
        forced.band[seen],
        forced.psf_flux_njy[seen],
        forced.psf_flux_err_njy[seen],
        np.full(seen.sum(), np.nan),
    )


def plasticc(data_dir: Path) -> Labelled:
    """Return the PLAsTiCC objects: detections as light curves, all points as forced photometry.

    Peculiar Ia (91bg, Iax) count as SN Ia. Times are taken as TAI, the simulation states none.
    """
    return concatenate([_plasticc(data_dir, part) for part in ("train", "test")])


def _plasticc(data_dir: Path, part: str) -> Labelled:
    meta = pd.read_csv(data_dir / "lightcurves" / f"plasticc_{part}_meta.csv").sort_values("object_id")
    meta = meta[meta["class"].isin(list(PLASTICC_CLASSES))].reset_index(drop=True)
    points = pd.read_parquet(data_dir / "lightcurves" / f"plasticc_{part}_lc.parquet")
    points = points[points["object_id"].isin(meta["object_id"])].sort_values(["object_id", "mjd"], kind="stable")
    owner = np.searchsorted(meta["object_id"].to_numpy(), points["object_id"].to_numpy())
    time = points["mjd"].to_numpy(np.float64)
    band = points["passband"].to_numpy(np.int8)
    flux = points["flux"].to_numpy(np.float64) * FLUXCAL_NJY
    flux_err = points["flux_err"].to_numpy(np.float64) * FLUXCAL_NJY
    seen = points["detected_bool"].to_numpy() == 1
    n = len(meta)
    photoz = meta["hostgal_photoz"].to_numpy(np.float64)
    galactic = photoz <= 0.0
    lasting = meta["class"].isin(["RRL", "EB", "Mira", "AGN", "M-dwarf"]).to_numpy()
    forced = ForcedPhotometry(ragged_offsets(owner, n), time, band, flux, flux_err)
    return Labelled(
        object_id=meta["object_id"].astype(str).to_numpy(object),
        label=meta["class"].map(PLASTICC_CLASSES).to_numpy(object),
        source=np.full(n, "plasticc", dtype=object),
        curves=_detected(forced, seen),
        forced=forced,
        ra_deg=meta["ra"].to_numpy(np.float64),
        dec_deg=meta["decl"].to_numpy(np.float64),
        redshift=np.where(galactic, np.nan, photoz),
        redshift_err=np.where(galactic, np.nan, meta["hostgal_photoz_err"].to_numpy(np.float64)),
        peak_mjd_tai=np.where(lasting, np.nan, meta["true_peakmjd"].to_numpy(np.float64)),
    )


def spcc(data_dir: Path) -> Labelled:
    """Return the supernovae of the photometric classification challenge, simulated DES g, r, i, z.

    Detections are points above 5 sigma; fluxes are on the SNANA zero point of 27.5 mag.
    """
    meta = pd.read_csv(data_dir / "lightcurves" / "spcc_dev_meta.csv")
    meta["snid"] = meta["snid"].astype(str)
    meta = meta.sort_values("snid").reset_index(drop=True)
    points = pd.read_parquet(data_dir / "lightcurves" / "spcc_dev_lc.parquet")
    points = points[points["snid"].isin(meta["snid"])].sort_values(["snid", "mjd"], kind="stable")
    owner = np.searchsorted(meta["snid"].to_numpy(str), points["snid"].to_numpy(str))
    time = points["mjd"].to_numpy(np.float64)
    band = np.array([BANDS.index(name) for name in points["band"]], dtype=np.int8)
    flux = points["flux"].to_numpy(np.float64) * FLUXCAL_NJY
    flux_err = points["fluxerr"].to_numpy(np.float64) * FLUXCAL_NJY
    seen = flux > 5.0 * flux_err
    n = len(meta)
    kind = meta["class"].astype(str)
    label = np.where(kind == "Ia", "SN Ia", np.where(kind.isin(["Ib", "Ic", "Ibc"]), "SN Ibc", "SN II"))
    redshift = meta["host_photoz"].to_numpy(np.float64)
    forced = ForcedPhotometry(ragged_offsets(owner, n), time, band, flux, flux_err)
    return Labelled(
        object_id=meta["snid"].to_numpy(object),
        label=label.astype(object),
        source=np.full(n, "spcc", dtype=object),
        curves=_detected(forced, seen),
        forced=forced,
        ra_deg=np.full(n, np.nan),
        dec_deg=np.full(n, np.nan),
        redshift=np.where(redshift > 0.0, redshift, np.nan),
        redshift_err=np.where(redshift > 0.0, 0.03 * (1.0 + redshift), np.nan),
        peak_mjd_tai=np.full(n, np.nan),
    )


def bts(data_dir: Path) -> Labelled:
    """Return the type Ia supernovae of the ZTF Bright Transient Survey, real, g and r; to judge with only."""
    points = pd.read_parquet(data_dir / "lightcurves" / "ztf_bts_snia_dev_lc.parquet")
    points = points[points["band"].isin(["g", "R", "r"])].sort_values(["objectId", "time"], kind="stable")
    meta = pd.read_csv(data_dir / "lightcurves" / "ztf_bts_snia_dev_meta.csv").drop_duplicates("ZTFID")
    names = np.intersect1d(points["objectId"].to_numpy(str), meta["ZTFID"].to_numpy(str))
    points = points[points["objectId"].isin(names)]
    owner = np.searchsorted(names, points["objectId"].to_numpy(str))
    flux = flux_from_magnitude(points["mag"].to_numpy(np.float64))
    flux_err = flux * points["magerr"].to_numpy(np.float64) * np.log(10.0) / 2.5
    peak = meta.set_index("ZTFID")["peakt"].reindex(names).to_numpy(np.float64)
    n = len(names)
    return Labelled(
        object_id=names.astype(object),
        label=np.full(n, "SN Ia", dtype=object),
        source=np.full(n, "bts", dtype=object),
        curves=LightCurves(
            ragged_offsets(owner, n),
            mjd_utc_to_tai(points["time"].to_numpy(np.float64)) + HALF_EXPOSURE_D,
            np.where(points["band"].to_numpy() == "g", 1, 2).astype(np.int8),
            flux,
            flux_err,
            np.full(len(points), np.nan),
        ),
        forced=no_forced(n),
        ra_deg=np.full(n, np.nan),
        dec_deg=np.full(n, np.nan),
        redshift=meta.set_index("ZTFID")["redshift"].reindex(names).to_numpy(np.float64),
        redshift_err=np.full(n, 0.001),
        # The table counts days from JD 2458000.
        peak_mjd_tai=mjd_utc_to_tai(peak + 2_458_000.0 - 2_400_000.5),
    )
