"""Where the API gets images of detections from: a protocol, since the archive belongs to another part."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from graph.views import DetectionView


class CutoutKind(StrEnum):
    """Which of the three images of an alert."""

    SCIENCE = "science"
    TEMPLATE = "template"
    DIFFERENCE = "difference"


@dataclass(frozen=True, slots=True)
class Cutout:
    """One image as the survey sent it."""

    content: bytes
    media_type: str
    """Of the image without gzip."""
    is_gzipped: bool


class CutoutSource(Protocol):
    """Finds images of detections."""

    def cutout(self, detection: DetectionView, kind: CutoutKind) -> Cutout:
        """Return an image of a detection.

        Raises
        ------
        NotFoundError : there is no such image.
        StoreError : the archive cannot be read.
        """
        ...
