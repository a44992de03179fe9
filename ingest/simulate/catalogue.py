"""What catalogues know of the simulated sky: most variables and nuclei, hosts, galaxies that are just there."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from ingest.catalogues.layouts import CatalogueLayout
from ingest.simulate.schedule import Schedule, offset_positions
from ingest.simulate.source_classes import CLASSES, SourceClass, njy_to_magnitude

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ingest.simulate.events import EventPlan
    from ingest.simulate.histories import Histories
    from ingest.simulate.observe import Observed

FloatArray = NDArray[np.float64]

COMPLETENESS = 0.8
"""Share of the variables and nuclei that a catalogue lists; VSX and Milliquas miss the faint ones."""

CATALOGUE_ERROR_ARCSEC = 0.1
"""Scatter of catalogued positions [arcsec]."""

UNRELATED_GALAXIES = 2000
"""Galaxies that host nothing tonight, so that a match near an alert is not proof of anything."""

LISTED = (
    SourceClass.RR_LYRAE,
    SourceClass.CEPHEID,
    SourceClass.ECLIPSING_BINARY,
    SourceClass.LONG_PERIOD,
    SourceClass.CATACLYSMIC,
    SourceClass.AGN,
    SourceClass.BLAZAR_FLARE,
)
"""Kinds that catalogues of variables and nuclei contain."""

HOSTED = (
    SourceClass.SN_IA,
    SourceClass.SN_II,
    SourceClass.SN_IBC,
    SourceClass.SUPERLUMINOUS,
    SourceClass.TIDAL_DISRUPTION,
    SourceClass.KILONOVA,
)
"""Kinds that happen in galaxies."""

_CATALOGUE_CLASS = {SourceClass.BLAZAR_FLARE: "Blazar"}


SIMULATED_CATALOGUE = CatalogueLayout(
    ra="ra_deg",
    dec="dec_deg",
    version="1",
    reference="the simulated night itself",
    radius_arcsec=2.0,
    sigma_arcsec=0.1,
    source_id="catalog_id",
    object_type="class",
    galaxy_types=("Galaxy",),
    distance_mpc="distance_mpc",
    magnitudes=(("r", ("r_mag",)),),
)
"""How the catalogue that comes with a generated night is read."""


def catalogue_table(
    rng: np.random.Generator,
    fields: Iterable[tuple[Observed, Histories]],
    schedule: Schedule,
    plans: tuple[EventPlan, ...],
) -> pa.Table:
    """Return the catalogue: name, class, position [deg, ICRS], r magnitude, distance [Mpc] where known.

    Parameters
    ----------
    fields : what the surveys saw, field by field; a source that both saw is listed once.
    schedule : fields over which the unrelated galaxies lie.
    """
    parts = [
        part for observed, history in fields for part in (_listed(rng, observed), _hosts(rng, observed, history, plans))
    ]
    parts.append(_unrelated(rng, schedule))
    table = pa.concat_tables(parts)
    # Both surveys may have listed the same source; its random number tells.
    _, first = np.unique(table["key"].to_numpy(), return_index=True)
    table = table.take(np.sort(first)).drop_columns(["key"])
    names = pa.array([f"SIM {i:06d}" for i in range(len(table))])
    return table.add_column(0, "catalog_id", names)


def _table(
    *, key: FloatArray, names: list[str], ra: FloatArray, dec: FloatArray, magnitude: FloatArray, distance: FloatArray
) -> pa.Table:
    return pa.table(
        {
            "key": key,
            "class": pa.array(names, pa.string()),
            "ra_deg": ra,
            "dec_deg": dec,
            "r_mag": magnitude,
            "distance_mpc": pa.array(distance, pa.float64(), mask=np.isnan(distance)),
        }
    )


def _listed(rng: np.random.Generator, seen: Observed) -> pa.Table:
    sources = seen.sources
    chosen = np.flatnonzero(sources.is_of(*LISTED) & (sources.phase < COMPLETENESS))
    n = len(chosen)
    scatter = np.abs(rng.normal(0.0, CATALOGUE_ERROR_ARCSEC / 3600.0, n))
    ra, dec = offset_positions(sources.ra_deg[chosen], sources.dec_deg[chosen], scatter, rng.uniform(0.0, 360.0, n))
    classes = [CLASSES[code] for code in sources.code[chosen]]
    names = [_CATALOGUE_CLASS.get(one, one.value) for one in classes]
    magnitude = njy_to_magnitude(sources.peak_njy[chosen])
    return _table(
        key=sources.phase[chosen], names=names, ra=ra, dec=dec, magnitude=magnitude, distance=np.full(n, np.nan)
    )


def _hosts(rng: np.random.Generator, seen: Observed, histories: Histories, plans: tuple[EventPlan, ...]) -> pa.Table:
    sources = seen.sources
    chosen = np.flatnonzero(sources.is_of(*HOSTED))
    n = len(chosen)
    offset = histories.neighbour_arcsec[chosen] / 3600.0
    ra, dec = offset_positions(sources.ra_deg[chosen], sources.dec_deg[chosen], offset, rng.uniform(0.0, 360.0, n))
    distance = rng.uniform(80.0, 400.0, n)
    event = sources.event[chosen]
    known = event >= 0
    distance[known] = [plans[i].distance_mpc for i in event[known]]
    magnitude = np.clip(rng.normal(17.0, 1.5, n), 12.0, 21.0)
    return _table(
        key=sources.phase[chosen], names=["Galaxy"] * n, ra=ra, dec=dec, magnitude=magnitude, distance=distance
    )


def _unrelated(rng: np.random.Generator, schedule: Schedule) -> pa.Table:
    n = UNRELATED_GALAXIES
    field = rng.integers(0, len(schedule), n)
    distance = schedule.strategy.field_radius_deg * np.sqrt(rng.random(n))
    ra, dec = offset_positions(
        schedule.field_ra_deg[field], schedule.field_dec_deg[field], distance, rng.uniform(0.0, 360.0, n)
    )
    magnitude = np.clip(rng.normal(18.0, 1.5, n), 12.0, 21.0)
    # Keys of sources are below 1.
    return _table(
        key=np.arange(1.0, n + 1.0),
        names=["Galaxy"] * n,
        ra=ra,
        dec=dec,
        magnitude=magnitude,
        distance=rng.uniform(20.0, 500.0, n),
    )
