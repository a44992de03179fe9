"""SuperNNova's recurrent network on the same light curves, in its default size.

The package demands older versions of ours, so it is installed without what it names: its network needs PyTorch alone.
"""

from __future__ import annotations

from importlib import import_module
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ingest.alerts.columns import AlertColumns
    from ingest.features import FloatArray

DEFAULTS: Final = {
    "layer_type": "lstm",
    "nb_classes": 2,
    "hidden_dim": 32,
    "num_layers": 2,
    "dropout": 0.05,
    "bidirectional": True,
    "rnn_output_option": "mean",
    "use_cuda": False,
}
"""The network as the package makes it if nothing is said; supernnova 3.0.51, Moller & de Boissiere 2020,
doi:10.1093/mnras/stz3312."""

BATCH: Final = 128
"""Light curves at a time, the package's default."""

STEP_D: Final = 0.33
"""Points of less than this after the first of a step belong to it [d]: eight hours, as in the package."""


def works(alerts: AlertColumns) -> dict[str, tuple[Callable[[], object], int]]:
    """Return what is measured, by its name in the report, and of how many light curves; nothing if not installed.

    Notes
    -----
    The weights are random, for the package ships none: the time does not depend on them. Steps are prepared before the
    clock starts, in a way much faster than the package's own.
    """
    try:
        torch: Any = import_module("torch")
        peer: Any = import_module("supernnova.training.vanilla_rnn")
    except ImportError:
        return {}
    steps = list(steps_of(alerts))
    if not steps:
        return {}
    network = peer.VanillaRNN(steps[0].shape[1], SimpleNamespace(**DEFAULTS)).eval()
    return {"supernnova_rnn": (lambda: classify(torch, network, steps), len(steps))}


def classify(torch: Any, network: Any, steps: list[FloatArray]) -> FloatArray:  # noqa: ANN401 - the peers are untyped
    """Return the probabilities of the classes (n, 2) of n light curves, computed on one core."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    answers = []
    try:
        with torch.no_grad():
            for first in range(0, len(steps), BATCH):
                batch = [torch.from_numpy(one.astype(np.float32)) for one in steps[first : first + BATCH]]
                packed = torch.nn.utils.rnn.pack_sequence(batch, enforce_sorted=False)
                answers.append(torch.nn.functional.softmax(network(packed), dim=-1).numpy())
    finally:
        torch.set_num_threads(threads)
    return np.concatenate(answers).astype(np.float64)


def steps_of(alerts: AlertColumns) -> Iterator[FloatArray]:
    """Yield each light curve with a detection as steps in time, (s, 2 b + 2**b) with b bands in all.

    Yields
    ------
    Of each step, flux and error [asinh nJy] of each band, zero where there is none, the time since the step before
    [d], and which combination of bands was seen, one of 2**b - 1.
    """
    points = alerts.light_curves
    seen = np.unique(points.band[np.isfinite(points.psf_flux_njy)])
    n_bands = len(seen)
    for start, stop in zip(points.offsets[:-1].tolist(), points.offsets[1:].tolist(), strict=True):
        part = slice(start, stop)
        good = np.isfinite(points.psf_flux_njy[part]) & (points.psf_flux_err_njy[part] > 0.0)
        if not good.any():
            continue
        step, begun = _step_of_point(points.midpoint_mjd_tai[part][good])
        band = np.searchsorted(seen, points.band[part][good])
        err = points.psf_flux_err_njy[part][good]
        values = np.zeros((len(begun), 2 * n_bands + 2**n_bands))
        # Of two points of one band in a step the surer one counts: it is written last.
        order = np.argsort(-err)
        values[step[order], band[order]] = np.arcsinh(points.psf_flux_njy[part][good][order])
        values[step[order], n_bands + band[order]] = np.arcsinh(err[order])
        values[:, 2 * n_bands] = np.diff(begun, prepend=begun[0])
        combination = np.zeros(len(begun), dtype=np.int64)
        np.bitwise_or.at(combination, step, np.left_shift(1, band))
        values[np.arange(len(begun)), 2 * n_bands + combination] = 1.0
        yield values


def _step_of_point(time: FloatArray) -> tuple[np.ndarray[Any, np.dtype[np.int64]], FloatArray]:
    """Return the step of each point in order of time, and the first time of each step."""
    begun: list[float] = []
    step = np.zeros(len(time), dtype=np.int64)
    for row, now in enumerate(time.tolist()):
        if not begun or now - begun[-1] > STEP_D:
            begun.append(now)
        step[row] = len(begun) - 1
    return step, np.array(begun)
