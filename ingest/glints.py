"""Satellite glints and trails: single detections of one exposure that lie on one great circle.

A tumbling satellite flashes several times while the shutter is open, and a trail is often detected in pieces. Each
flash looks like a new point source. Together they lie on a great circle, bent a little by the satellite's motion.
"""
# Compiled loops take arrays by position and leave as soon as a bound fails; splitting them further costs speed.
# ruff: noqa: PLR0917

from __future__ import annotations

import math

import numpy as np
from numba import njit

from ingest.alerts.columns import BoolArray, FloatArray, IntArray

MIN_POINTS = 5
"""Fewest detections of a trail, those within `MIN_STEP_ARCSEC` of one another counted as one: a quadratic curve has
three free parameters, so five points are the fewest that test it twice."""

MIN_STEP_ARCSEC = 10.0
"""Least distance of two points that count as two [arcsec]: several times the seeing, so that pieces of one blended
source and a packet delivered twice do not make an alignment."""

STRIP_ARCSEC = 5.0
"""Largest distance from the great circle [arcsec]: room for the curvature of a trail across a field of view."""

CURVE_ARCSEC = 1.0
"""Largest distance from the fitted quadratic curve [arcsec]: three to ten times the error of a faint position."""

CHANCE_ARCSEC = 2.0
"""Half width that the chance of an alignment is computed with [arcsec]: points within `CURVE_ARCSEC` of a fitted curve
are within about twice that of a curve through three of them, and the latter is what can be counted."""

MAX_CHANCE = 1e-3
"""Largest number of chance alignments expected in the exposure for a trail to be believed."""

MAX_GAP = 0.5
"""Largest gap between neighbours on a trail as a share of its length: what is farther off adds length, not evidence,
and a clump of detections with a stray one is no trail."""

NEIGHBOURS = 48
"""Neighbours, on average, among which a point looks for an alignment. Flashes that are more widely spaced than half
the radius of their circle need so many points to exceed chance that there is no such satellite."""

MAX_NEIGHBOURS = 192
"""Neighbours looked at most; in a clump denser than that nothing can exceed chance."""

MAX_STRIP = 512
"""Detections in one strip at most, likewise."""

MAX_SEEDS_PER_POINT = 0.5
"""Lines by chance, expected for each point, that are still worth a fit; decides how many points make a line."""

FIELD_RADIUS_DEG = 10.0
"""Largest distance from the middle of the exposure [deg]: twice ZTF's field; farther off, the number is wrong."""

_ARCSEC = math.pi / 180.0 / 3600.0


def find_glints(exposure_id: IntArray, ra_deg: FloatArray, dec_deg: FloatArray, is_single: BoolArray) -> BoolArray:
    """Return which detections lie on a satellite's trail.

    Parameters
    ----------
    exposure_id : (n,) exposure of each detection; -1 when absent, which is never on a trail.
    ra_deg, dec_deg : (n,) [deg, ICRS].
    is_single : (n,) True for the only detection of its object without a known moving body; the others are ignored.

    Returns
    -------
    (n,) True for each detection on a trail; does not depend on the order of the rows.

    Notes
    -----
    Every point takes its neighbours, finds the line through itself that most of them lie on, and if enough do, all
    points of the exposure within 5 arcsec of that great circle are fitted by a quadratic curve, of which members lie
    within 1 arcsec. Of all runs of members the one that chance makes least often is taken.

    Chance: N singles of density d make N d pi l^2 / 2 pairs no farther apart than l. A third point within the strip
    (2 x 5 arcsec x l) fixes a curve, on which m = k - 3 more must lie by chance. The expected number of such sets of
    k is N d pi l^2 / 2 x (10 arcsec d l) x (2 w d l)^m / m!, w = `CHANCE_ARCSEC`. It has to be less than `MAX_CHANCE`,
    with d the largest of twice the mean density and the densities around the trail: five points within 2 arcmin
    suffice among 1,000 singles of 100 per square degree, within 1.5 deg among 100 of 2 per square degree.

    An exposure that was cut by the border of a batch is judged in parts. A part holds fewer points and less density,
    so the bound on chance holds for it too, but a trail cut in two may fall below `MIN_POINTS` in one part or both:
    those detections go on as new sources. What is set aside never depends on other batches.
    """
    found = np.zeros(len(ra_deg), dtype=np.bool_)
    known = is_single & (exposure_id >= 0) & np.isfinite(ra_deg) & np.isfinite(dec_deg)
    rows = np.flatnonzero(known)
    if len(rows) < MIN_POINTS:
        return found
    rows = rows[np.lexsort((dec_deg[rows], ra_deg[rows], exposure_id[rows]))]
    exposure, ra, dec = exposure_id[rows], ra_deg[rows], dec_deg[rows]
    begins = np.r_[True, exposure[1:] != exposure[:-1]]
    # A packet delivered twice is one point.
    is_new = begins | np.r_[True, (ra[1:] != ra[:-1]) | (dec[1:] != dec[:-1])]
    starts = np.r_[np.flatnonzero(begins[is_new]), np.count_nonzero(is_new)].astype(np.int64)
    on_trail = _search(starts, np.radians(ra[is_new]), np.radians(dec[is_new]))
    found[rows] = on_trail[np.cumsum(is_new) - 1]
    return found


@njit(nogil=True, cache=True)
def _search(starts: IntArray, ra: FloatArray, dec: FloatArray) -> BoolArray:
    """Look for trails in each exposure; one exposure's points are ``starts[e]`` to ``starts[e + 1]``, in radians."""
    on_trail = np.zeros(len(ra), dtype=np.bool_)
    for exposure in range(len(starts) - 1):
        first, last = starts[exposure], starts[exposure + 1]
        if last - first >= MIN_POINTS:
            inside, x, y = _project(ra[first:last], dec[first:last])
            if len(inside) >= MIN_POINTS:
                taken = _search_plane(x, y)
                for place in range(len(inside)):
                    on_trail[first + inside[place]] = taken[place]
    return on_trail


@njit(nogil=True, cache=True)
def _project(ra: FloatArray, dec: FloatArray) -> tuple[IntArray, FloatArray, FloatArray]:
    """Return which points lie in the field, and their gnomonic coordinates [arcsec]; great circles become lines."""
    n = len(ra)
    vectors = np.empty((n, 3))
    cx, cy, cz = 0.0, 0.0, 0.0
    for p in range(n):
        vectors[p, 0], vectors[p, 1] = math.cos(dec[p]) * math.cos(ra[p]), math.cos(dec[p]) * math.sin(ra[p])
        vectors[p, 2] = math.sin(dec[p])
        cx, cy, cz = cx + vectors[p, 0] / n, cy + vectors[p, 1] / n, cz + vectors[p, 2] / n
    inside, x, y = np.empty(n, np.int64), np.empty(n), np.empty(n)
    size = 0
    norm = math.sqrt(cx * cx + cy * cy + cz * cz)
    edge = math.cos(math.radians(FIELD_RADIUS_DEG))
    # The mean of points all over the sky is nowhere: nothing is inside.
    if norm >= edge:
        cx, cy, cz = cx / norm, cy / norm, cz / norm
        # The base is built from the axis that is far from the middle of the field, at the poles too.
        ex, ey, ez = (-cy, cx, 0.0) if abs(cz) < 0.7 else (0.0, -cz, cy)
        length = math.sqrt(ex * ex + ey * ey + ez * ez)
        ex, ey, ez = ex / length, ey / length, ez / length
        nx, ny, nz = cy * ez - cz * ey, cz * ex - cx * ez, cx * ey - cy * ex
        for p in range(n):
            vx, vy, vz = vectors[p, 0], vectors[p, 1], vectors[p, 2]
            depth = vx * cx + vy * cy + vz * cz
            if depth > edge:
                inside[size] = p
                x[size] = (vx * ex + vy * ey + vz * ez) / depth / _ARCSEC
                y[size] = (vx * nx + vy * ny + vz * nz) / depth / _ARCSEC
                size += 1
    return inside[:size], x[:size], y[:size]


@njit(nogil=True, cache=True)
def _order(values: FloatArray) -> IntArray:
    """Return the places of values in ascending order, equal ones as they stand."""
    return np.argsort(values, kind="mergesort")


@njit(nogil=True, cache=True)
def _search_plane(x: FloatArray, y: FloatArray) -> BoolArray:
    """Return which points of one exposure lie on trails; coordinates in arcsec."""
    n = len(x)
    taken = np.zeros(n, dtype=np.bool_)
    middle_x, middle_y = 0.5 * (x.min() + x.max()), 0.5 * (y.min() + y.max())
    field = math.pi * max(np.max((x - middle_x) ** 2 + (y - middle_y) ** 2), MIN_STEP_ARCSEC**2)
    radius = math.sqrt(NEIGHBOURS * field / (math.pi * n))
    # Points on a line by chance within the circle: the strip is as long as the typical neighbour is far, both ways.
    mean = n / field * 2.0 * STRIP_ARCSEC * 4.0 / 3.0 * radius
    needed, chance = 3, NEIGHBOURS * mean * mean / 2.0
    while chance > MAX_SEEDS_PER_POINT and needed < 8:
        chance *= mean / needed
        needed += 1
    partner, count = _seeds(x, y, radius)
    order = _order(-count.astype(np.float64))
    members = np.empty(MAX_STRIP, np.int64)
    along, across = np.empty(MAX_STRIP), np.empty(MAX_STRIP)
    for i in order:
        if count[i] < needed:
            break
        j = partner[i]
        if taken[i] or taken[j]:
            continue
        size = _strip(x, y, i, j, taken, members, along, across)
        if size < MIN_POINTS:
            continue
        by_place = _order(along[:size])
        t, off = along[:size][by_place], across[:size][by_place]
        on_curve = _fit(t, off, math.hypot(x[j] - x[i], y[j] - y[i]))
        low, high = _best_run(t, on_curve, n, field)
        if high <= low:
            continue
        density = _density_around(x, y, i, j, low, high, radius)
        k = _distinct(t, on_curve, low, high)
        if _chance(k, high - low, density, n) < MAX_CHANCE:
            for place in range(size):
                if on_curve[place] and low <= t[place] <= high:
                    taken[members[by_place[place]]] = True
    return taken


@njit(nogil=True, cache=True)
def _cells(x: FloatArray, y: FloatArray, radius: float) -> tuple[IntArray, IntArray, IntArray, IntArray, int]:
    """Sort points into square cells at least ``radius`` wide; return line, column, starts, order, cells in a line."""
    n = len(x)
    left_x, low_y = x.min(), y.min()
    wide, high = x.max() - left_x, y.max() - low_y
    size = max(radius, wide / 256.0, high / 256.0)
    columns, lines = int(wide / size) + 1, int(high / size) + 1
    column, line = np.empty(n, np.int64), np.empty(n, np.int64)
    # Counting sort by cell: the points of cell c are order[starts[c]] to order[starts[c + 1]].
    starts, order = np.zeros(columns * lines + 2, np.int64), np.empty(n, np.int64)
    for p in range(n):
        column[p], line[p] = int((x[p] - left_x) / size), int((y[p] - low_y) / size)
        starts[line[p] * columns + column[p] + 2] += 1
    for c in range(2, len(starts)):
        starts[c] += starts[c - 1]
    for p in range(n):
        c = line[p] * columns + column[p] + 1
        order[starts[c]] = p
        starts[c] += 1
    return line, column, starts, order, columns


@njit(nogil=True, cache=True)
def _seeds(x: FloatArray, y: FloatArray, radius: float) -> tuple[IntArray, IntArray]:
    """Return for each point the neighbour whose direction most others share, and how many do, itself counted."""
    n = len(x)
    line, column, starts, order, columns = _cells(x, y, radius)
    lines = (len(starts) - 2) // columns
    partner, count = np.full(n, -1, np.int64), np.zeros(n, np.int64)
    near, dx, dy = np.empty(MAX_NEIGHBOURS, np.int64), np.empty(MAX_NEIGHBOURS), np.empty(MAX_NEIGHBOURS)
    for i in range(n):
        m = 0
        for row in range(max(line[i] - 1, 0), min(line[i] + 2, lines)):
            left, right = max(column[i] - 1, 0), min(column[i] + 2, columns)
            for place in range(starts[row * columns + left], starts[row * columns + right]):
                p = order[place]
                gap2 = (x[p] - x[i]) ** 2 + (y[p] - y[i]) ** 2
                if MIN_STEP_ARCSEC**2 < gap2 <= radius * radius and m < MAX_NEIGHBOURS:
                    near[m], dx[m], dy[m] = p, x[p] - x[i], y[p] - y[i]
                    m += 1
        for j in range(m):
            reach2 = dx[j] * dx[j] + dy[j] * dy[j]
            width2 = STRIP_ARCSEC * STRIP_ARCSEC * reach2
            on_line = 0
            for q in range(m):
                cross = dx[j] * dy[q] - dy[j] * dx[q]
                if cross * cross < width2 and dx[q] * dx[q] + dy[q] * dy[q] <= reach2:
                    on_line += 1
            if on_line > count[i]:
                partner[i], count[i] = near[j], on_line
    return partner, count


@njit(nogil=True, cache=True)
def _strip(
    x: FloatArray,
    y: FloatArray,
    i: int,
    j: int,
    taken: BoolArray,
    members: IntArray,
    along: FloatArray,
    across: FloatArray,
) -> int:
    """Collect the points within `STRIP_ARCSEC` of the line from i to j; return how many, 0 if too many."""
    reach = math.hypot(x[j] - x[i], y[j] - y[i])
    ux, uy = (x[j] - x[i]) / reach, (y[j] - y[i]) / reach
    n = 0
    for p in range(len(x)):
        off = (x[p] - x[i]) * uy - (y[p] - y[i]) * ux
        if abs(off) < STRIP_ARCSEC and not taken[p]:
            if n == MAX_STRIP:
                return 0
            members[n], across[n] = p, off
            along[n] = (x[p] - x[i]) * ux + (y[p] - y[i]) * uy
            n += 1
    return n


@njit(nogil=True, cache=True)
def _fit(t: FloatArray, off: FloatArray, reach: float) -> BoolArray:
    """Return which points of a strip lie on its best quadratic curve; the seeds are at 0 and ``reach``."""
    n = len(t)
    best, bend = -1, 0.0
    for third in range(-1, n):
        base = 1.0 if third < 0 else t[third] * (t[third] - reach)
        if abs(base) < MIN_STEP_ARCSEC * MIN_STEP_ARCSEC and third >= 0:
            continue
        trial = 0.0 if third < 0 else off[third] / base
        inside = 0
        for p in range(n):
            inside += abs(off[p] - trial * t[p] * (t[p] - reach)) < CHANCE_ARCSEC
        if inside > best:
            best, bend = inside, trial
    on_curve = np.zeros(n, dtype=np.bool_)
    for p in range(n):
        on_curve[p] = abs(off[p] - bend * t[p] * (t[p] - reach)) < CHANCE_ARCSEC
    for _ in range(3):
        _refit(t, off, on_curve)
    return on_curve


@njit(nogil=True, cache=True)
def _refit(t: FloatArray, off: FloatArray, on_curve: BoolArray) -> None:
    """Fit a quadratic curve to the members by least squares and choose the members anew."""
    # Orthogonal polynomials: no system to solve, nothing to be singular.
    n, shift, mean = 0, 0.0, 0.0
    for p in range(len(t)):
        if on_curve[p]:
            n, shift, mean = n + 1, shift + t[p], mean + off[p]
    if n < MIN_POINTS:
        return
    shift, mean = shift / n, mean / n
    square, cube, slope = 0.0, 0.0, 0.0
    for p in range(len(t)):
        if on_curve[p]:
            first = t[p] - shift
            square, cube, slope = square + first**2, cube + first**3, slope + first * off[p]
    if square <= 0.0:
        return
    weight, bend = 0.0, 0.0
    for p in range(len(t)):
        if on_curve[p]:
            second = (t[p] - shift) ** 2 - cube / square * (t[p] - shift) - square / n
            weight, bend = weight + second**2, bend + second * off[p]
    slope, bend = slope / square, bend / weight if weight > 0.0 else 0.0
    for p in range(len(t)):
        first = t[p] - shift
        fitted = mean + slope * first + bend * (first**2 - cube / square * first - square / n)
        on_curve[p] = abs(off[p] - fitted) < CURVE_ARCSEC


@njit(nogil=True, cache=True)
def _distinct(t: FloatArray, on_curve: BoolArray, low: float, high: float) -> int:
    """Return the number of members from ``low`` to ``high`` along the line, counted in steps of `MIN_STEP_ARCSEC`."""
    n, last = 0, -np.inf
    for place in range(len(t)):
        if on_curve[place] and low <= t[place] <= high and t[place] - last > MIN_STEP_ARCSEC:
            n, last = n + 1, t[place]
    return n


@njit(nogil=True, cache=True)
def _best_run(t: FloatArray, on_curve: BoolArray, n_singles: int, field: float) -> tuple[float, float]:
    """Return the ends of the run of members that chance makes least often; equal ends when none is unlikely enough."""
    points = np.empty(len(t))
    n, last = 0, -np.inf
    for place in range(len(t)):
        if on_curve[place] and t[place] - last > MIN_STEP_ARCSEC:
            points[n], last = t[place], t[place]
            n += 1
    best, low, high = MAX_CHANCE, 0.0, 0.0
    for a in range(n - MIN_POINTS + 1):
        widest = 0.0
        for b in range(a + 1, n):
            widest = max(widest, points[b] - points[b - 1])
            length, k = points[b] - points[a], b - a + 1
            if k >= MIN_POINTS and widest <= MAX_GAP * length:
                chance = _chance(k, length, 2.0 * (n_singles - k + 1) / field, n_singles)
                if chance < best:
                    best, low, high = chance, points[a], points[b]
    return low, high


@njit(nogil=True, cache=True)
def _density_around(x: FloatArray, y: FloatArray, i: int, j: int, low: float, high: float, radius: float) -> float:
    """Return the larger density [1/arcsec^2] of two circles around a run, those in the strip itself left out."""
    reach = math.hypot(x[j] - x[i], y[j] - y[i])
    ux, uy = (x[j] - x[i]) / reach, (y[j] - y[i]) / reach
    middle_x, middle_y = x[i] + 0.5 * (low + high) * ux, y[i] + 0.5 * (low + high) * uy
    own, wide = 0.5 * (high - low), max(radius, 0.5 * (high - low))
    n_own, n_wide = 0, 0
    for p in range(len(x)):
        dx, dy = x[p] - middle_x, y[p] - middle_y
        gap2 = dx * dx + dy * dy
        if gap2 <= wide * wide and abs(dx * uy - dy * ux) > STRIP_ARCSEC:
            n_wide += 1
            n_own += gap2 <= own * own
    return max(n_own / (math.pi * own * own), (n_wide + 1) / (math.pi * wide * wide))


@njit(nogil=True, cache=True)
def _chance(k: int, length: float, density: float, n_singles: int) -> float:
    """Return the expected number of sets of k singles that chance puts on one curve of at most this length [arcsec]."""
    pairs = 0.5 * n_singles * density * math.pi * length * length
    expected = pairs * 2.0 * STRIP_ARCSEC * density * length
    for m in range(1, k - 2):
        expected *= 2.0 * CHANCE_ARCSEC * density * length / m
    return expected
