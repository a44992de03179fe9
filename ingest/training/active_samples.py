"""Samples on which active learning is tried: supernovae of the photometric classification challenge, two ways."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
import pandas as pd

from graph.errors import ConfigurationError
from graph.model import Survey
from ingest.classifiers.rise_features import light_curve_rise
from ingest.training.active import Sample
from ingest.training.histories import split_fraction
from ingest.training.sources import spcc

if TYPE_CHECKING:
    from pathlib import Path

POOL_BELOW: Final = 0.5
"""Objects with a `split_fraction` below this can be asked for, the others are judged on."""

NOT_READ: Final = frozenset({"rise_n_points", "earlier_n_points", "earlier_significance", "earlier_chi2"})
"""Columns of the rise that say nothing of a whole light curve."""


def actsn(data_dir: Path) -> tuple[Sample, Sample]:
    """Return pool and target of the published Bazin fits, 20 numbers in four bands; for the experiment only.

    The fits of the published query sample are not there, so its target sample is parted in two by object.
    """
    folder = data_dir / "features"
    meta = pd.read_csv(folder / "actsn_spcc_target.csv.gz")
    fits = np.loadtxt(folder / "actsn_spcc_target_fitparameters.dat.gz", comments="#")
    if fits.shape != (len(meta), 20):
        raise ConfigurationError("The published fits do not belong to the published list of supernovae.")
    return _parted(
        Sample(
            np.asarray(fits, dtype=np.float64),
            meta["sntype"].to_numpy() == 0,
            meta["snid"].astype(str).to_numpy(object),
        )
    )


def spcc_rises(data_dir: Path) -> tuple[Sample, Sample]:
    """Return pool and target of the same challenge's public light curves, described by our fits of the rise.

    All points up to 30 d after the brightest one are read.
    """
    labelled = spcc(data_dir)
    forced = labelled.forced
    owner = np.repeat(np.arange(len(labelled)), np.diff(forced.offsets))
    peak = np.full(len(labelled), np.nan)
    seen = np.flatnonzero(forced.psf_flux_njy > 5.0 * forced.psf_flux_err_njy)
    seen = seen[np.argsort(forced.psf_flux_njy[seen], kind="stable")]
    peak[owner[seen]] = forced.midpoint_mjd_tai[seen]
    until = labelled.until(np.nan_to_num(peak + 30.0))
    table = light_curve_rise(until.curves, until.forced, Survey.LSST)
    names = tuple(name for name in table.names if not name.startswith("sigmoid_") and name not in NOT_READ)
    good = np.isfinite(peak)
    sample = Sample(table.select(names), labelled.label == "SN Ia", labelled.object_id)
    return _parted(sample.take(good))


def _parted(sample: Sample) -> tuple[Sample, Sample]:
    """Return the objects that can be asked for and those to judge on."""
    pool = np.array([split_fraction(str(name)) < POOL_BELOW for name in sample.object_id], dtype=np.bool_)
    return sample.take(pool), sample.take(~pool)


SAMPLES: Final = {"actsn": actsn, "spcc": spcc_rises}
"""Name -> reader of pool and target."""
