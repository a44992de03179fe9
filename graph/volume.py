"""Sky maps with distances: probability in space at a position and a distance, and credible levels of volumes.

Along each line of sight a map states p(r) dr = N exp(-(r - mu)^2 / (2 sigma^2)) / (sqrt(2 pi) sigma) r^2 dr, with mu,
sigma and N of the cell. Distances are luminosity distances [Mpc], volumes Euclidean in them.
"""

from __future__ import annotations

import numpy as np
from scipy.special import ndtr  # type: ignore[import-untyped, unused-ignore]

from graph.cell_index import CellIndex
from graph.errors import SkyMapError
from graph.sky import BoolArray, FloatArray, IntArray, SkyMap

N_SHELLS = 999
"""Shells of equal thickness between the observer and the farthest distance [1].

The number of the reference implementation, so that levels are the same; a shell is then a thirtieth of a typical
map's distance error.
"""

FARTHEST_OVER_MEAN = 6.0
"""Farthest shell in units of the map's mean distance [1]: less than 1e-6 of any real map lies beyond."""

MAX_VOXELS = 60_000_000
"""Cells times shells that are ranked at most: 2 GB while it is done, three times a map of 19,200 cells."""


def has_distances(skymap: SkyMap) -> bool:
    """Return whether a map states distances along its lines of sight."""
    layers = (skymap.distance_mu_mpc, skymap.distance_sigma_mpc, skymap.distance_norm_mpc2)
    return all(layer is not None for layer in layers)


def _layers(skymap: SkyMap) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return mu, sigma and norm of a map.

    Raises
    ------
    SkyMapError : the map has no distances.
    """
    mu, sigma, norm = skymap.distance_mu_mpc, skymap.distance_sigma_mpc, skymap.distance_norm_mpc2
    if mu is None or sigma is None or norm is None:
        raise SkyMapError("the map states no distances")
    return mu, sigma, norm


def line_of_sight_density_mpc3(
    skymap: SkyMap, pixel: IntArray, distance_mpc: FloatArray, distance_err_mpc: FloatArray
) -> FloatArray:
    """Return p(r) / r^2 on the line of sight at measured distances.

    Parameters
    ----------
    skymap : with distances.
    pixel : (n,) order-29 pixels.
    distance_mpc, distance_err_mpc : (n,) measured distances and their standard errors [Mpc].

    Returns
    -------
    (n,) [1/Mpc3]; NaN where the map states no distance or none was measured. The errors of map and measurement add in
    quadrature.

    Raises
    ------
    SkyMapError : the map has no distances.

    References
    ----------
    Singer et al. (2016), doi:10.3847/2041-8205/829/1/L15, equation 1.
    """
    cell = CellIndex(skymap.start, skymap.stop).find(pixel)
    mu, sigma, norm = (layer[cell] for layer in _layers(skymap))
    known = (cell >= 0) & np.isfinite(mu) & np.isfinite(norm) & (sigma > 0.0)
    width = np.hypot(np.where(known, sigma, 1.0), distance_err_mpc)
    deviation = (distance_mpc - np.where(known, mu, 0.0)) / width
    density = norm * np.exp(-0.5 * deviation**2) / (np.sqrt(2.0 * np.pi) * width)
    return np.where(known, density, np.nan)


def mean_distance_mpc(skymap: SkyMap) -> float:
    """Return the mean distance of a map over all its lines of sight that state one [Mpc].

    Raises
    ------
    SkyMapError : the map has no distances.

    Notes
    -----
    The moments of a Gaussian cut off at zero follow from one another: m_n = mu m_(n-1) + (n-1) sigma^2 m_(n-2).
    """
    mu, sigma, _ = _layers(skymap)
    probability = skymap.probability_density_sr * skymap.cell_sr
    stated = np.isfinite(mu) & np.isfinite(sigma) & (sigma > 0.0) & (probability > 0.0)
    mu, sigma, probability = mu[stated], sigma[stated], probability[stated]
    if len(mu) == 0:
        raise SkyMapError("the map states no distance on any line of sight")
    z = mu / sigma
    zeroth = ndtr(z)
    first = mu * zeroth + sigma * np.exp(-0.5 * z**2) / np.sqrt(2.0 * np.pi)
    second = mu * first + sigma**2 * zeroth
    third = mu * second + 2.0 * sigma**2 * first
    with np.errstate(divide="ignore", invalid="ignore"):
        mean = third / second
    usable = np.isfinite(mean) & (mean > 0.0)
    return float(np.dot(probability[usable], mean[usable]))


class VolumeRanking:
    """All voxels of a map by density, ranked once; after that each position and distance is a look-up.

    Notes
    -----
    A voxel is a cell times a shell. Its density is that in its middle, its volume exact. The credible level of a
    position and distance is the probability of all voxels at least as dense as its own. Eight bytes for each voxel
    stay in memory, 150 MB for 19,200 cells.

    References
    ----------
    Singer et al. (2016), doi:10.3847/2041-8205/829/1/L15; the same quantity as ``searched_prob_vol`` of ligo.skymap.
    """

    def __init__(self, skymap: SkyMap) -> None:
        """Rank the voxels of a map.

        Raises
        ------
        SkyMapError : the map has no distances, or too many cells to rank.
        """
        mu, sigma, norm = _layers(skymap)
        if len(skymap) * N_SHELLS > MAX_VOXELS:
            raise SkyMapError(f"a map of {len(skymap)} cells is too fine to rank its volume")
        self._skymap = skymap
        self._cells = CellIndex(skymap.start, skymap.stop)
        self.shell_mpc = FARTHEST_OVER_MEAN * mean_distance_mpc(skymap) / (N_SHELLS + 1)
        """Thickness of a shell [Mpc]; shell k has its middle at k + 1 of them."""
        radius = self.shell_mpc * np.arange(1, N_SHELLS + 1)
        with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
            self._peak_mpc3 = skymap.probability_density_sr * norm / (np.sqrt(2.0 * np.pi) * sigma)
            density = np.exp(-0.5 * ((radius - mu[:, None]) / sigma[:, None]) ** 2)
            density *= self._peak_mpc3[:, None]
        np.nan_to_num(density, copy=False, nan=0.0, posinf=0.0)
        by_density = np.argsort(-density, axis=None, kind="stable")
        shell_mpc3 = (radius**2 + self.shell_mpc**2 / 12.0) * self.shell_mpc
        density *= shell_mpc3
        density *= skymap.cell_sr[:, None]
        probability = density.reshape(-1)
        cumulative = np.cumsum(probability[by_density])
        probability[by_density] = cumulative
        self._level = probability.reshape(len(skymap), N_SHELLS)

    def credible_level(self, pixel: IntArray, distance_mpc: FloatArray) -> FloatArray:
        """Return (n,) credible level of the voxel at each order-29 pixel and distance [Mpc]; 1 where there is none."""
        cell, shell, inside = self._voxel(pixel, distance_mpc)
        return np.where(inside, np.minimum(self._level[cell, shell], 1.0), 1.0)

    def density_mpc3(self, pixel: IntArray, distance_mpc: FloatArray) -> FloatArray:
        """Return (n,) probability density [1/Mpc3] at each order-29 pixel and distance [Mpc]; 0 where there is none."""
        mu, sigma, _ = _layers(self._skymap)
        cell = self._cells.find(pixel)
        with np.errstate(invalid="ignore", divide="ignore"):
            deviation = (distance_mpc - mu[cell]) / sigma[cell]
            density = self._peak_mpc3[cell] * np.exp(-0.5 * deviation**2)
        return np.where((cell >= 0) & np.isfinite(density), density, 0.0)

    def _voxel(self, pixel: IntArray, distance_mpc: FloatArray) -> tuple[IntArray, IntArray, BoolArray]:
        """Return cell and shell of each place and whether there is such a voxel."""
        cell = self._cells.find(pixel)
        nearest = np.nan_to_num(np.rint(distance_mpc / self.shell_mpc), nan=0.0, posinf=0.0, neginf=0.0)
        shell = nearest.astype(np.int64) - 1
        inside = (cell >= 0) & (shell >= 0) & (shell < N_SHELLS)
        return cell, np.clip(shell, 0, N_SHELLS - 1), inside
