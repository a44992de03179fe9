"""Models that are no forests: an ONNX file and a JSON sidecar that holds its checksum and its parameters."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from graph.errors import ModelError
from graph.model import Survey
from ingest.classifiers.forests import MODELS, file_name


@dataclass(frozen=True, slots=True)
class Sidecar:
    """What stands beside the bytes of a model."""

    classifier: str
    version: str
    survey: Survey
    classes: tuple[str, ...]
    sha256: str
    """Of the ONNX bytes."""
    parameters: dict[str, Any]
    """Numbers that the classifier needs beside the network: temperature, thresholds, scalings."""
    training: dict[str, Any]
    """Seed, split, counts, sources with licences, library versions."""
    metrics: dict[str, Any]
    """Measured on held-out objects."""


def parse_sidecar(text: str) -> Sidecar:
    """Read a sidecar.

    Raises
    ------
    ModelError : the text is not a sidecar.
    """
    try:
        raw = json.loads(text)
        return Sidecar(**{**raw, "survey": Survey(raw["survey"]), "classes": tuple(raw["classes"])})
    except (KeyError, TypeError, ValueError) as error:
        raise ModelError(f"the sidecar of a model cannot be read: {error}") from error


def write_artefact(sidecar: Sidecar, model: bytes, out_dir: Path) -> None:
    """Write ``<classifier>-<survey>.onnx`` and ``.json``; the checksum has to be that of the bytes."""
    if hashlib.sha256(model).hexdigest() != sidecar.sha256:
        raise ModelError(f"the model {sidecar.classifier} differs from its sidecar's sha256")
    out_dir.mkdir(parents=True, exist_ok=True)
    name = file_name(sidecar.classifier, sidecar.survey)
    (out_dir / f"{name}.onnx").write_bytes(model)
    (out_dir / f"{name}.json").write_text(json.dumps(asdict(sidecar), indent=1) + "\n", encoding="utf-8")


def read_artefact(name: str, survey: Survey, *, directory: Path = MODELS) -> tuple[Sidecar, bytes]:
    """Return the sidecar and the bytes of a model whose checksum holds.

    Raises
    ------
    ModelError : absent, altered, unreadable, or made for the other survey.
    """
    path = directory / file_name(name, survey)
    try:
        sidecar = parse_sidecar(path.with_suffix(".json").read_text(encoding="utf-8"))
        model = path.with_suffix(".onnx").read_bytes()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelError(f"the model {path.name} cannot be read: {error}") from error
    if hashlib.sha256(model).hexdigest() != sidecar.sha256:
        raise ModelError(f"the model {name} differs from its sidecar's sha256")
    if sidecar.survey is not survey:
        raise ModelError(f"the model {name} is for {sidecar.survey}, not for {survey}")
    return sidecar, model
