"""The client of the X-match service as the settings describe it."""

from __future__ import annotations

from pathlib import Path

from graph.errors import EnvironmentProblem
from graph.times import SECONDS_PER_DAY
from ingest.config import IngestSettings
from ingest.xmatch.cache import MatchCache
from ingest.xmatch.catalogues import DEFAULT_RADIUS_ARCSEC, RemoteCatalogue
from ingest.xmatch.client import ServiceOptions, XMatch
from ingest.xmatch.pacing import Pacing
from ingest.xmatch.transport import CDS_URL

BYTES_PER_MIB = 1 << 20
"""Bytes in one MiB."""


def open_xmatch(
    settings: IngestSettings,
    catalogue: RemoteCatalogue,
    cache_dir: Path | None,
    *,
    radius_arcsec: float = DEFAULT_RADIUS_ARCSEC,
    url: str = "",
) -> XMatch:
    """Return a client, to be closed by its owner.

    Parameters
    ----------
    cache_dir : folder of the answers where the settings name none; None for no cache.
    url : address of the service; the setting's, else the CDS's, unless told.

    Raises
    ------
    ConfigurationError : the address or the radius cannot be meant.
    EnvironmentProblem : the folder of the answers cannot be made.
    """
    options = ServiceOptions(
        url=url or settings.xmatch_url or CDS_URL,
        radius_arcsec=radius_arcsec,
        timeout_s=settings.xmatch_timeout_s,
        max_concurrent=settings.xmatch_max_concurrent,
        rows_per_request=settings.xmatch_rows_per_request,
    )
    pacing = Pacing()
    cache = None
    if cache_dir is not None:
        folder = settings.xmatch_cache_dir or cache_dir
        try:
            cache = MatchCache(
                folder,
                max_age_s=settings.xmatch_cache_days * SECONDS_PER_DAY,
                max_bytes=settings.xmatch_cache_mb * BYTES_PER_MIB,
                unix_s=pacing.unix_s,
            )
        except OSError as error:
            raise EnvironmentProblem(
                f"The folder {folder} for answers of the X-match service cannot be made."
            ) from error
    return XMatch(catalogue, options, cache=cache, pacing=pacing)
