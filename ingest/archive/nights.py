"""What is there of a night: files of the stream, and the compacted night if there is one."""

from __future__ import annotations

from dataclasses import dataclass

from graph.errors import ArchiveError
from graph.model import Survey
from ingest.archive.layout import (
    CLAIMS,
    NIGHTS,
    READY,
    RECENT,
    WORK,
    Claim,
    Night,
    covered,
    parse_cells_name,
    parse_landing_name,
    parse_night,
    read_claims,
)
from ingest.archive.storage import Storage


@dataclass(frozen=True, slots=True)
class Compacted:
    """A compacted night."""

    folder: str
    claims: tuple[Claim, ...]
    rows: int
    files: tuple[str, ...]
    """Names, in order of cells."""


@dataclass(frozen=True, slots=True)
class NightFiles:
    """All files that hold rows of a night."""

    night: Night
    landing: tuple[Claim, ...]
    """Files of the stream whose rows are not in the compacted night."""
    superseded: tuple[Claim, ...]
    """Files of the stream whose rows are in the compacted night: they are about to be removed."""
    compacted: Compacted | None


def landing_folder(night: Night) -> str:
    """Return the folder of the stream's files of a night."""
    return f"{RECENT}/{night.folder}"


def landing_path(night: Night, claim: Claim) -> str:
    """Return the path of the stream's file of a claim."""
    return f"{RECENT}/{night.folder}/{claim.file_name}"


def list_nights(storage: Storage) -> tuple[Night, ...]:
    """Return every night of which something is there, in order."""
    found: set[Night] = set()
    for survey in Survey:
        for top in (RECENT, NIGHTS, WORK):
            for name in storage.folders(f"{top}/survey={survey.value}"):
                number = parse_night(name)
                if number is not None:
                    found.add(Night(survey, number))
    return tuple(sorted(night for night in found if _has_rows(storage, night)))


def _has_rows(storage: Storage, night: Night) -> bool:
    folders = (f"{WORK}/{night.folder}/{READY}", f"{NIGHTS}/{night.folder}")
    compacted = (name for folder in folders for name in storage.files(folder) if parse_cells_name(name) is not None)
    return bool(list_landing(storage, night)) or any(compacted)


def list_landing(storage: Storage, night: Night) -> list[Claim]:
    """Return what the stream's files of a night claim, in order."""
    found = map(parse_landing_name, storage.files(landing_folder(night)))
    return sorted(claim for claim in found if claim is not None)


def find_compacted(storage: Storage, night: Night) -> Compacted | None:
    """Return the compacted night that counts.

    Raises
    ------
    ArchiveError : its file of claims is damaged or missing.
    """
    # A finished compaction that has not got its place yet holds all that the night in that place holds.
    for folder in (f"{WORK}/{night.folder}/{READY}", f"{NIGHTS}/{night.folder}"):
        names = storage.files(folder)
        if CLAIMS in names:
            claims, rows = read_claims(storage.read(f"{folder}/{CLAIMS}"))
            files = tuple(name for name in names if parse_cells_name(name) is not None)
            return Compacted(folder, tuple(claims), rows, files)
        if any(parse_cells_name(name) for name in names):
            raise ArchiveError(f"The compacted night {folder} has lost its file {CLAIMS}.")
    return None


def find_files(storage: Storage, night: Night) -> NightFiles:
    """Return the files of a night as they stand at this moment."""
    # In this order: what a compaction removes from the first, it has put into the second before.
    landing = list_landing(storage, night)
    compacted = find_compacted(storage, night)
    claims = () if compacted is None else compacted.claims
    superseded = tuple(claim for claim in landing if covered(claim, claims))
    return NightFiles(night, tuple(claim for claim in landing if claim not in superseded), superseded, compacted)
