"""What answers and cross-matches say for and against each leaf of the taxonomy, as numbers that can be added."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from graph.taxonomy import LEAVES, PARENTS, leaves_under, lineage

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ingest.classifiers.contract import Classifications
    from ingest.crossmatch import CrossMatches

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
TextArray = NDArray[np.object_]

SMALLEST_CHANCE: Final = 1e-3
"""Floor of a classifier's probabilities: a thousandth is as sure as any of them was shown to be."""

RELIABILITY: Final = 0.9
"""Chance that a catalogue's type is right: what ASAS-SN reports for types of variables; doi:10.1093/mnras/stz844."""

LARGEST_FACTOR: Final = 1e3
"""Most that one match may favour one leaf over another: no position is surer than that."""

HOST: Final = ("explosive", "nuclear")
"""Nodes that a galaxy at the place speaks for."""

TYPE_PREFIXES: Final[Mapping[str, tuple[str, ...]]] = {
    "RRL": ("RR",),
    "EB": ("EA", "EB", "EC", "ED", "ESD", "EW", "ELL", "E", "EB*", "ECLIPSINGBINARY"),
    "LPV": ("M", "SR", "SRA", "SRB", "SRC", "SRD", "SRS", "L", "LB", "LC", "LPV", "OSARG", "MI*", "LP*", "LPV*",
            "MIRA"),
    "CEP": ("CEP", "DCEP", "DCEPS", "CW", "CWA", "CWB", "ACEP", "RV", "CE*", "CEPHEID"),
    "DSCT": ("DSCT", "DSCTC", "HADS", "SXPHE", "GDOR", "DS*", "DELTASCT"),
    "ROT": ("ROT", "RS", "BY", "ACV", "ROTV*", "BY*", "RS*"),
    "YSO": ("YSO", "TTS", "CTTS", "WTTS", "INT", "IN", "INS", "INSB", "INB", "INA", "IS", "ISB", "UXOR", "OR*", "TT*",
            "Y*O", "CLASSI", "CLASSII", "CLASSIII", "FS"),
    "CV": ("CV", "CV*", "UG", "UGSU", "UGSS", "UGZ", "UGWZ", "UGER", "NA", "NB", "NC", "NL", "N", "NR", "AM", "ZAND",
           "NO*", "NOVA", "SYMBIOTIC", "SY*", "CATACLYSMICVARIABLE"),
    "M-dwarf flare": ("UV", "UVN", "FLARE", "FL*", "ER*", "MDWARF"),
    "AGN": ("AGN", "QSO", "SEYFERT", "SYG", "SY1", "SY2", "RADIOG", "LIN"),
    "blazar": ("BLAZAR", "BLLAC", "BLL", "FSRQ", "BCU", "BLA", "HSP", "BZB", "BZQ", "BZU", "BZG"),
    "TDE": ("TDE",),
    "SN Ia": ("SNIA",),
    "SN II": ("SNII", "SNIIN", "SNIIP", "SNIIB"),
    "SN Ibc": ("SNIB", "SNIC", "SNIBC", "SNIC-BL"),
    "SLSN": ("SLSN-I", "SLSN-II", "SLSN"),
    "SN": ("SN", "SN*"),
    "KN": ("KILONOVA",),
    "GRB afterglow": ("AFTERGLOW",),
    "variable star": ("VARSTAR",),
    "galaxy": ("GALAXY", "G", "GAL"),
}  # fmt: skip
"""Class -> types of catalogues that mean it, in capitals and without blanks: VSX, GCVS, SIMBAD, SPICY, 4LAC, 3HSP, TNS.

References
----------
Samus et al. 2017, doi:10.1134/S1063772917010085 (GCVS types, which VSX uses); SIMBAD object types, 2023.
"""


SUBTYPES: Final[Mapping[str, str]] = {
    "RR": "RRL",
    "SNIA": "SN Ia",
    "SNIB": "SN Ibc",
    "SNIC": "SN Ibc",
    "SNII": "SN II",
    "TDE": "TDE",
}
"""Beginning of a type -> class, for subtypes that have no entry above, as ``SN Ia-91T-like`` and ``TDE-H-He``."""


@cache
def class_of_type(object_type: str) -> str:
    """Return the class that a catalogue's type means, ``galaxy`` for a galaxy; empty text where it means none.

    Of types in doubt or in alternatives, as ``EA:`` and ``EB|EW``, the first counts.
    """
    text = "".join(object_type.upper().split())
    first = text.replace("|", " ").replace("+", " ").replace(":", " ").split(" ")[0] if text else ""
    for candidate in (text, first, first.split("/")[0]):
        for name, types in TYPE_PREFIXES.items():
            if candidate and candidate in types:
                return name
    return next((name for stem, name in SUBTYPES.items() if first.startswith(stem)), "")


@cache
def leaves_of_class(name: str, classes: tuple[str, ...]) -> tuple[int, ...]:
    """Return the places of the leaves that one class of a classifier means.

    A leaf belongs to the nearest of its ancestors that the classifier names; a name that is in no tree takes the
    leaves that no other class takes.
    """
    owner = [next((node for node in lineage(leaf) if node in classes), "") for leaf in LEAVES]
    wanted = name if name in PARENTS else ""
    return tuple(place for place, of in enumerate(owner) if of == wanted)


def read_answers(answer: Classifications) -> FloatArray:
    """Return what a classifier says as columns (n, c + 1): centred log probabilities, and 1 where it answered.

    A row of zeros stands for a classifier that said nothing.
    """
    said = ~answer.abstained
    log = np.log(np.clip(np.nan_to_num(answer.probability.astype(np.float64), nan=1.0), SMALLEST_CHANCE, None))
    log -= log.mean(axis=1, keepdims=True)
    return np.where(said[:, None], np.column_stack([log, np.ones(len(answer))]), 0.0)


def unlearnt_weights(classes: tuple[str, ...], trust: float) -> FloatArray:
    """Return weights (c + 1, leaves) that take each answer as it is, damped by ``trust``: a product of experts."""
    weights = np.zeros((len(classes) + 1, len(LEAVES)))
    for row, name in enumerate(classes):
        weights[row, list(leaves_of_class(name, classes))] = trust
    return weights


def match_evidence(matches: CrossMatches, n: int, prior: FloatArray) -> FloatArray:
    """Return the log likelihood (n, leaves) of the typed cross-matches of n alerts; zeros where there are none.

    Parameters
    ----------
    matches : with ``row`` into the alerts.
    prior : (leaves,) probabilities before looking.

    Notes
    -----
    With probability p the source is the entry, whose type is right with `RELIABILITY`; else it is any. Of the entries
    that mean a class the most probable counts, and of those that are a galaxy another: catalogues copy each other, and
    their types are no independent witnesses.
    """
    evidence = np.zeros((n, len(LEAVES)))
    if not len(matches):
        return evidence
    names, kind = np.unique(matches.object_type.astype(str), return_inverse=True)
    meaning = np.array([class_of_type(str(name)) for name in names], dtype=object)[kind]
    for chosen in (np.flatnonzero((meaning != "") & (meaning != "galaxy")), np.flatnonzero(meaning == "galaxy")):
        order = chosen[np.lexsort((-matches.probability[chosen], matches.row[chosen]))]
        _, first = np.unique(matches.row[order], return_index=True)
        best = order[first]
        for name in np.unique(meaning[best].astype(str)):
            mine = best[meaning[best] == name]
            at = matches.row[mine]
            evidence[at] += _of_type(str(name), np.nan_to_num(matches.probability[mine]), prior)
    return evidence


def _of_type(name: str, probability: FloatArray, prior: FloatArray) -> FloatArray:
    """Return the log likelihood (m, leaves) of entries of one type that are the source with a probability (m,)."""
    nodes = HOST if name == "galaxy" else (name,)
    inside = np.isin(np.array(LEAVES), [leaf for node in nodes for leaf in leaves_under(node)])
    share = np.where(inside, RELIABILITY * prior / prior[inside].sum(), 0.0) + (1.0 - RELIABILITY) * prior
    factor = np.clip(share / prior, 1.0 / LARGEST_FACTOR, LARGEST_FACTOR)
    p = np.clip(probability, 0.0, 1.0)[:, None]
    return np.asarray(np.log(p * factor + 1.0 - p), dtype=np.float64)
