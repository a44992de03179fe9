"""The archive as the other parts see it: where it is, and what the API reads from it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

from api.cutouts import Cutout, CutoutKind
from compose.clock import utc_now
from compose.config import Settings
from graph.errors import NotFoundError, WireError
from graph.times import night_of_mjd_tai
from graph.views import DetectionView
from graph.visits import IntArray, VisitColumns
from ingest.archive.cutouts import FITS, GZIPPED_FITS, read_cutouts
from ingest.archive.notices import NoticeArchive
from ingest.archive.reader import ArchiveReader
from ingest.archive.table import cells_of
from ingest.archive.visits import read_visits
from ingest.listen import NoticeRecorder

OFF = "off"
"""Value of ``archive_dir`` that means: no archive."""


def archive_root(settings: Settings) -> str | None:
    """Return the path or URI of the archive, None where it is turned off."""
    if settings.ingest.archive_dir == OFF:
        return None
    return settings.ingest.archive_dir or str(settings.home / "archive")


def notice_recorder(settings: Settings, now: Callable[[], datetime] = utc_now) -> NoticeRecorder | None:
    """Return what keeps every notice as received, None where the archive is turned off."""
    root = archive_root(settings)
    return None if root is None else NoticeRecorder(NoticeArchive(root), now)


@dataclass(frozen=True, slots=True)
class ArchiveAnswers:
    """What the API wants to know of the archive, read when it is asked for."""

    reader: ArchiveReader

    @classmethod
    def of(cls, settings: Settings) -> ArchiveAnswers | None:
        """Return the answers of the archive of some settings, None where it is turned off."""
        root = archive_root(settings)
        return None if root is None else cls(ArchiveReader(root))

    def visits(self, cells: IntArray, from_mjd_tai: float, until_mjd_tai: float) -> VisitColumns:
        """Return the visits of all surveys to some cells in a closed time window [d, TAI].

        Raises
        ------
        StoreError : the archive cannot be read.
        """
        return read_visits(self.reader, cells, from_mjd_tai, until_mjd_tai)

    def cutout(self, detection: DetectionView, kind: CutoutKind) -> Cutout:
        """Return an image of a detection.

        Raises
        ------
        NotFoundError : the archive does not have the packet, or the packet has no such image.
        StoreError : the archive cannot be read.
        """
        night = int(night_of_mjd_tai(detection.midpoint_mjd_tai))
        cell = int(cells_of([detection.ra_deg], [detection.dec_deg])[0])
        packet = self.reader.packet_of_detection(detection.survey, night, detection.detection_id, cell)
        try:
            images = read_cutouts(detection.survey, packet)
        except WireError as error:
            raise NotFoundError(f"The packet of detection {detection.detection_id} cannot be read.") from error
        content: bytes | None = getattr(images, kind.value)
        if content is None:
            raise NotFoundError(f"The packet of detection {detection.detection_id} has no {kind.value} image.")
        is_gzipped = images.media_type == GZIPPED_FITS
        return Cutout(content, FITS if is_gzipped else images.media_type, is_gzipped)
