"""Tracklets: single detections of one night that one moving body left, on a great circle at a constant rate.

A body of the main belt moves by a fifth of a degree in a day, so each visit sees it as a new object. Two visits make a
pair, which strangers make as well; a third that lies where the first two say it must is hard to come by by chance.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numba import njit
from numpy.typing import NDArray
from scipy.spatial import cKDTree  # type: ignore[import-untyped, unused-ignore]

from graph.sky import unit_vectors
from ingest.alerts.columns import ragged_offsets

FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]

MAX_RATE_DEG_D: Final = 1.0
"""Fastest motion that is linked [deg/d]: main-belt bodies have up to 0.35, Jedicke 1996, AJ 111, 970; what is
faster is near the Earth, rare, and trailed. Strangers grow by the square of the rate."""

MAX_STEP_D: Final = 1.5 / 24.0
"""Longest wait from one point to the next [d]: both surveys come back within 15 to 90 min in one night, Bellm et al.
2019, doi:10.1088/1538-3873/ab0c2a, Ivezic et al. 2019, doi:10.3847/1538-4357/ab042c."""

MIN_STEP_D: Final = 120.0 / 86_400.0
"""Shortest wait [d]: two minutes. In less nothing linked here moves by more than `MIN_MOTION_ARCSEC` and its error."""

MAX_SPAN_D: Final = 4.0 / 24.0
"""Longest tracklet [d]: by then the observer's own turning bends a main-belt path by 2 arcsec."""

MIN_MOTION_ARCSEC: Final = 2.0
"""Least motion from one point to the next [arcsec]: the surveys join detections within 1 to 1.5 arcsec to one object,
so that two objects at that distance are mostly one blended source."""

TOLERANCE_ARCSEC: Final = 1.5
"""Largest distance of a point from the line through the others [arcsec]: three times the error of a faint position,
with the error of the line."""

MIN_CONFIDENT_POINTS: Final = 3
"""Points of a tracklet that tells something by itself: two points always lie on a line."""

SEEN_AGAIN: Final = 0.5
"""Chance that a moving body is seen in the next visit too: most bodies are near the survey's limit, where it sees about
70 %, of which some fall into the gaps between its chips."""

MOVING_SHARE: Final = 0.1
"""Share of single detections that are moving bodies, before looking: of ZTF's a third to a half are, far from the
ecliptic few; a tenth errs on the side of strangers."""

MIN_AROUND: Final = 0.1
"""Least number of strangers in the circle of one step: 8 in a square degree, a visit of ZTF that saw little. A batch
that holds a few alerts of a visit would else find that there are no strangers."""

MAX_NEIGHBOURS: Final = 64
"""Later points that a point is paired with at most, the nearest in time; among more, chance wins anyway."""

MAX_CROWD: Final = 512
"""Neighbours in place and time beyond which a point is not linked: among so many every line is hit by chance."""

MAX_POINTS: Final = 32
"""Longest tracklet: more visits to one field in a night than either survey makes, deep fields aside."""

_ARCSEC = math.pi / 180.0 / 3600.0


@dataclass(frozen=True, eq=False, slots=True)
class Tracklets:
    """Of n detections, which belong together."""

    tracklet_id: IntArray
    """(n,) number of the tracklet, from 0 in order of its first row; -1 for none."""
    n_points: IntArray
    """(n,) points of the tracklet; 0 for none."""
    rate_arcsec_min: FloatArray
    """(n,) motion on the sky [arcsec/min]; NaN for none."""
    position_angle_deg: FloatArray
    """(n,) direction of the motion at the detection, east of north [deg], 0 to 360; NaN for none."""
    probability: FloatArray
    """(n,) that its points are of one body and not strangers, see `link_tracklets`; NaN for none."""

    def __len__(self) -> int:
        """Return the number of detections."""
        return len(self.tracklet_id)


def link_tracklets(
    ra_deg: FloatArray, dec_deg: FloatArray, midpoint_mjd_tai: FloatArray, is_single: BoolArray
) -> Tracklets:
    """Link single detections of a night to tracklets of two and more points.

    Parameters
    ----------
    ra_deg, dec_deg : (n,) [deg, ICRS].
    midpoint_mjd_tai : (n,) [d, TAI].
    is_single : (n,) detections to link: the only one of its object; the others are ignored.

    Returns
    -------
    (n,) for all detections; does not depend on the order of the rows.

    Notes
    -----
    A k-d tree over direction and time, one arcsec of the former as long as the time in which the fastest body moves by
    it, finds each point's later neighbours: a pair is a seed. A seed grows by the neighbours of its newest end that lie
    within `TOLERANCE_ARCSEC` of the line through its ends, on the tangent plane, where great circles are lines. Of all
    that share a point the one with most points, then with the smallest residual, is kept.

    Chance: of strangers with density d in a visit, d pi (v t)^2 make a pair with a given point within t, and d pi e^2
    of them continue a line by chance, e the tolerance, stretched with the line. The product of all steps is the
    expected number of false tracklets of one point, that of true ones `SEEN_AGAIN` times `MOVING_SHARE`; the share of
    the latter is the probability. The density is the larger of that around the points and the mean, with all singles
    taken for strangers. A further visit beside those of the tracklet gives chance one more try, which is not counted.

    A batch's border cuts tracklets: a part has fewer points, which the chance accounts for, and a single one is none.

    References
    ----------
    Kubica et al. 2007, Icarus 189, 151, for tracklets with k-d trees.
    """
    n = len(ra_deg)
    known = is_single & np.isfinite(ra_deg) & np.isfinite(dec_deg) & np.isfinite(midpoint_mjd_tai)
    known &= (np.abs(dec_deg) <= 90.0) & (np.abs(midpoint_mjd_tai) < 1e6)
    rows = np.flatnonzero(known)
    result = Tracklets(np.full(n, -1, np.int64), np.zeros(n, np.int64), *(np.full(n, np.nan) for _ in range(3)))
    if len(rows) < 2:
        return result
    rows = rows[np.lexsort((dec_deg[rows], ra_deg[rows], midpoint_mjd_tai[rows]))]
    time = midpoint_mjd_tai[rows] - midpoint_mjd_tai[rows[0]]
    vector = unit_vectors(ra_deg[rows], dec_deg[rows])
    starts, later, around = _neighbours(vector, time)
    members, length, misfit = _grow(vector, time, starts, later)
    order = np.lexsort((members[:, 0], misfit, -length))
    owner = _choose(members, length, order, len(rows))
    number, chosen = np.unique(owner[owner >= 0], return_inverse=True)
    placed = np.flatnonzero(owner >= 0)
    rate, angle = _motion(vector, time, members[number], length[number])
    chance = _chance(time, members[number], length[number], around)
    true = SEEN_AGAIN * MOVING_SHARE
    result.tracklet_id[rows[placed]] = chosen
    result.n_points[rows[placed]] = length[number][chosen]
    result.rate_arcsec_min[rows[placed]] = rate[chosen]
    result.position_angle_deg[rows[placed]] = _angle_at(vector, placed, angle[chosen])
    result.probability[rows[placed]] = (true / (true + chance))[chosen]
    result.tracklet_id[:] = _by_first_row(result.tracklet_id)
    return result


def _by_first_row(tracklet_id: IntArray) -> IntArray:
    """Return tracklet numbers in the order of their first rows."""
    found, first = np.unique(tracklet_id, return_index=True)
    first = first[found >= 0]
    place = np.full(int(tracklet_id.max(initial=-1)) + 2, -1, dtype=np.int64)
    place[found[found >= 0][np.argsort(first)]] = np.arange(len(first))
    return place[tracklet_id]


def _neighbours(vector: FloatArray, time: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Return each point's later partners as ragged offsets and places, and the strangers in its circle of one step."""
    speed = math.radians(MAX_RATE_DEG_D)
    reach = speed * MAX_STEP_D
    point = np.column_stack([vector, time * speed])
    radius = reach * math.sqrt(2.0)
    crowd = cKDTree(point).query_ball_point(point, radius, return_length=True)
    sparse = np.flatnonzero(crowd <= MAX_CROWD)
    pairs = sparse[cKDTree(point[sparse]).query_pairs(radius, output_type="ndarray")].reshape(-1, 2)
    first, second = pairs.min(axis=1), pairs.max(axis=1)
    wait = time[second] - time[first]
    chord = np.linalg.norm(vector[second] - vector[first], axis=1)
    usable = (
        (wait >= MIN_STEP_D) & (wait <= MAX_STEP_D) & (chord <= speed * wait) & (chord >= MIN_MOTION_ARCSEC * _ARCSEC)
    )
    # Strangers are counted in one exposure: those beside a point at its own time.
    beside = (wait < MIN_STEP_D) & (chord <= reach)
    around = np.bincount(first[beside], minlength=len(time)) + np.bincount(second[beside], minlength=len(time))
    first, second, wait = first[usable], second[usable], wait[usable]
    order = np.lexsort((wait, first))
    first, second = first[order], second[order]
    starts = ragged_offsets(first, len(time))
    return starts, second.astype(np.int64), around.astype(np.float64)


@njit(nogil=True, cache=True)
def _offset(vector: FloatArray, i: int, j: int, p: int, share: float) -> float:
    """Return how far p is from the point at a share of the way from i to j, beyond j for more than 1 [arcsec]."""
    # On the tangent plane at i, up to the square of the tracklet's length, which is 1e-5.
    square = 0.0
    for axis in range(3):
        expected = vector[i, axis] + share * (vector[j, axis] - vector[i, axis])
        square += (vector[p, axis] - expected) ** 2
    return math.sqrt(square) / _ARCSEC


@njit(nogil=True, cache=True)
def _grow(
    vector: FloatArray, time: FloatArray, starts: IntArray, later: IntArray
) -> tuple[IntArray, IntArray, FloatArray]:
    """Grow each pair as far as it goes; return members (m, MAX_POINTS), their number and the mean misfit [arcsec]."""
    n_pairs = 0
    for i in range(len(time)):
        n_pairs += min(starts[i + 1] - starts[i], MAX_NEIGHBOURS)
    members = np.full((n_pairs, MAX_POINTS), -1, dtype=np.int64)
    length = np.zeros(n_pairs, dtype=np.int64)
    misfit = np.zeros(n_pairs)
    row = 0
    for i in range(len(time)):
        for place in range(starts[i], min(starts[i + 1], starts[i] + MAX_NEIGHBOURS)):
            members[row, 0], members[row, 1] = i, later[place]
            size = 2
            growing = True
            while growing and size < MAX_POINTS:
                growing = False
                end = members[row, size - 1]
                best, found = TOLERANCE_ARCSEC, -1
                for further in range(starts[end], min(starts[end + 1], starts[end] + MAX_NEIGHBOURS)):
                    p = later[further]
                    if time[p] - time[i] > MAX_SPAN_D or (found >= 0 and time[p] - time[found] >= MIN_STEP_D):
                        break
                    # The line through the ends is drawn anew for each point: the error of the extrapolation is
                    # that of the ends times the share beyond them.
                    share = (time[p] - time[i]) / (time[end] - time[i])
                    off = _offset(vector, i, end, p, share) / max(1.0, share)
                    if off < best:
                        best, found = off, p
                if found >= 0:
                    members[row, size] = found
                    misfit[row] += best
                    size += 1
                    growing = True
            length[row] = size
            misfit[row] = misfit[row] / (size - 2) if size > 2 else TOLERANCE_ARCSEC
            row += 1
    return members, length, misfit


@njit(nogil=True, cache=True)
def _choose(members: IntArray, length: IntArray, order: IntArray, n: int) -> IntArray:
    """Return for each point the candidate that it belongs to, -1 for none; better candidates come first."""
    owner = np.full(n, -1, dtype=np.int64)
    for row in order:
        free = True
        for place in range(length[row]):
            if owner[members[row, place]] >= 0:
                free = False
        if free:
            for place in range(length[row]):
                owner[members[row, place]] = row
    return owner


def _motion(vector: FloatArray, time: FloatArray, members: IntArray, length: IntArray) -> tuple[FloatArray, FloatArray]:
    """Return the rate [arcsec/min] and the direction (m, 3), by least squares over the points of each tracklet."""
    used = members >= 0
    weight = used.astype(np.float64)[:, :, None]
    when = np.where(used, time[members], 0.0)[:, :, None]
    where = np.where(used[:, :, None], vector[members], 0.0)
    size = np.maximum(length, 1)[:, None]
    middle_time, middle = when.sum(axis=1) / size, where.sum(axis=1) / size
    gap = (when - middle_time[:, None]) * weight
    slope = (gap * (where - middle[:, None])).sum(axis=1) / np.maximum((gap * gap).sum(axis=1), 1e-12)
    return np.linalg.norm(slope, axis=1) / _ARCSEC / 1440.0, slope


def _angle_at(vector: FloatArray, place: IntArray, slope: FloatArray) -> FloatArray:
    """Return the position angle of directions (k, 3) at points, east of north [deg]."""
    here = vector[place]
    ra, dec = np.arctan2(here[:, 1], here[:, 0]), np.arcsin(np.clip(here[:, 2], -1.0, 1.0))
    east = -np.sin(ra) * slope[:, 0] + np.cos(ra) * slope[:, 1]
    north = -np.sin(dec) * (np.cos(ra) * slope[:, 0] + np.sin(ra) * slope[:, 1]) + np.cos(dec) * slope[:, 2]
    return np.asarray(np.degrees(np.arctan2(east, north)) % 360.0, dtype=np.float64)


def _chance(time: FloatArray, members: IntArray, length: IntArray, around: FloatArray) -> FloatArray:
    """Return the expected number of strangers' tracklets of one point that are as long as each tracklet."""
    reach_arcsec = MAX_RATE_DEG_D * 3600.0 * MAX_STEP_D
    used = members >= 0
    near = np.where(used, around[members], 0.0).sum(axis=1) / np.maximum(length, 1)
    strangers = np.maximum(np.maximum(near, around.mean()), MIN_AROUND)
    when = np.where(used, time[members], np.nan)
    span_d = when - when[:, :1]
    expected = strangers * (span_d[:, 1] / MAX_STEP_D) ** 2
    stretch = span_d[:, 2:] / span_d[:, 1:-1]
    further = strangers[:, None] * (TOLERANCE_ARCSEC * stretch / reach_arcsec) ** 2
    return np.asarray(expected * np.prod(np.where(used[:, 2:], further, 1.0), axis=1), dtype=np.float64)
