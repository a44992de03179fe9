"""A small recurrent network with variational dropout: fitted with JAX, exported to ONNX with its masks drawn once.

Bayesian by two means: members differ in their start and in the order of their data, and of each member several samples
of dropout masks are drawn, the same at all nights of a sequence (Gal & Ghahramani 2016, arXiv:1512.05287). A mask only
scales rows of a matrix, so that every sample is a network of its own with fixed weights: the exported model has no
random numbers, and the same alert has the same answer for ever.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import optax  # type: ignore[import-untyped, unused-ignore]
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

ONE_THREAD: Final = "--xla_cpu_multi_thread_eigen=false"
"""Option of XLA: threads that share a product of matrices add its terms in an order that differs from run to run."""

# XLA reads its options when it first compiles, which nothing does on import: here is early enough.
if ONE_THREAD not in os.environ.get("XLA_FLAGS", ""):
    os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {ONE_THREAD}".strip()

Masks = tuple[NDArray[np.float32], NDArray[np.float32]]
Weights = dict[str, Any]
"""Name -> array; NumPy's outside of the fit, JAX's inside."""

OPSET: Final = 17
"""ONNX operator set, as for the forests."""

LEARNING_RATE: Final = 8e-3
"""Highest step of Adam; falls to nothing along a cosine."""

WEIGHT_DECAY: Final = 1e-3
"""Of AdamW, together with dropout a prior of small weights."""

GRADIENT_NORM: Final = 1.0
"""Longer gradients are cut: recurrent ones explode now and then."""


@dataclass(frozen=True, slots=True)
class Design:
    """Size of a network."""

    inputs: int
    """Numbers for each night."""
    hidden: int
    """State of the recurrent unit, and of the head's hidden layer."""
    outputs: int
    """Logits: the classes, and one for outliers."""
    dropout: float
    """Chance that a number of the state, and twice that chance that one of the pooled state, is dropped."""


@dataclass(frozen=True, eq=False, slots=True)
class Examples:
    """One batch to fit on; all sequences padded to one length."""

    values: NDArray[np.float32]
    """(n, t, k)."""
    nights: NDArray[np.int32]
    """(n,)."""
    target: NDArray[np.int32]
    """(n,) column of the class; -1 where there is none, as in nonsense."""
    outlier: NDArray[np.float32]
    """(n,) 1 for what is to be flagged, else 0."""
    weight: NDArray[np.float32]
    """(n,)."""

    @property
    def arrays(self) -> tuple[NDArray[Any], ...]:
        """All columns, as the fit takes them."""
        return self.values, self.nights, self.target, self.outlier, self.weight


def start_weights(design: Design, rng: np.random.Generator) -> Weights:
    """Return random weights in the layout of ONNX's GRU: gates update, reset, new."""
    hidden, inputs = design.hidden, design.inputs

    def uniform(fan: int, *shape: int) -> NDArray[np.float32]:
        return rng.uniform(-1.0, 1.0, shape).astype(np.float32) / np.float32(np.sqrt(fan))

    recurrent = np.concatenate([np.linalg.qr(rng.normal(size=(hidden, hidden)))[0] for _ in range(3)])
    return {
        "w": uniform(inputs, 3 * hidden, inputs),
        "r": recurrent.astype(np.float32),
        # An update gate that starts closed remembers longer.
        "b": np.concatenate([np.full(hidden, 1.0), np.zeros(2 * hidden)]).astype(np.float32),
        "rb": np.zeros(3 * hidden, dtype=np.float32),
        "w1": uniform(2 * hidden, hidden, 2 * hidden),
        "b1": np.zeros(hidden, dtype=np.float32),
        "w2": uniform(hidden, design.outputs, hidden),
        "b2": np.zeros(design.outputs, dtype=np.float32),
    }


def forward(weights: Weights, values: Any, nights: Any, state_mask: Any, pool_mask: Any) -> Any:  # noqa: ANN401 - JAX
    """Return logits (n, outputs).

    Parameters
    ----------
    values, nights : (n, t, k) and (n,).
    state_mask, pool_mask : (n or 1, hidden) and (n or 1, 2 hidden); ones where nothing is dropped.
    """
    hidden = weights["r"].shape[1]
    inputs = jnp.swapaxes(values, 0, 1) @ weights["w"].T + weights["b"]
    inside = (jnp.arange(values.shape[1])[:, None] < nights[None, :])[:, :, None]

    def step(carry: Any, night: Any) -> Any:  # noqa: ANN401 - JAX
        state, total = carry
        given, there = night
        fed = (state * state_mask) @ weights["r"].T + weights["rb"]
        update, reset = jnp.split(jax.nn.sigmoid(given[:, : 2 * hidden] + fed[:, : 2 * hidden]), 2, axis=1)
        new = jnp.tanh(given[:, 2 * hidden :] + reset * fed[:, 2 * hidden :])
        state = jnp.where(there, (1.0 - update) * new + update * state, state)
        return (state, total + jnp.where(there, state, 0.0)), None

    zero = jnp.zeros((values.shape[0], hidden), dtype=jnp.float32)
    (last, total), _ = jax.lax.scan(step, (zero, zero), (inputs, inside), unroll=4)
    pooled = jnp.concatenate([total / jnp.maximum(nights, 1)[:, None], last], axis=1) * pool_mask
    return jax.nn.relu(pooled @ weights["w1"].T + weights["b1"]) @ weights["w2"].T + weights["b2"]


def _loss(weights: Weights, examples: Any, masks: Any) -> Any:  # noqa: ANN401 - JAX
    """Return the weighted loss: cross entropy of the classes, and of being an outlier."""
    values, nights, target, outlier, weight = examples
    logits = forward(weights, values, nights, *masks)
    known = target >= 0
    of_class = optax.softmax_cross_entropy_with_integer_labels(logits[:, :-1], jnp.maximum(target, 0))
    flagged = optax.sigmoid_binary_cross_entropy(logits[:, -1], outlier)
    return jnp.mean(weight * (jnp.where(known, of_class, 0.0) + flagged))


def fit_members(
    design: Design,
    batches: Callable[[int], Iterator[Examples]],
    epochs: int,
    steps: int,
    seeds: Sequence[tuple[int, ...]],
) -> list[Weights]:
    """Fit members side by side: on the same batches, from other starts and with other masks.

    Parameters
    ----------
    batches : epoch -> its batches.
    steps : batches of all epochs together, about; what the learning rate falls along.
    seeds : of start and dropout, one for each member.
    """
    schedule = optax.cosine_onecycle_schedule(steps, LEARNING_RATE, pct_start=0.1)
    optimiser = optax.chain(optax.clip_by_global_norm(GRADIENT_NORM), optax.adamw(schedule, weight_decay=WEIGHT_DECAY))

    @partial(jax.jit, donate_argnums=(0, 1))
    def update(weights: Weights, state: Any, examples: Any, masks: Any) -> Any:  # noqa: ANN401 - JAX
        slope = jax.grad(_loss)(weights, examples, masks)
        change, state = optimiser.update(slope, state, weights)
        return optax.apply_updates(weights, change), state

    generators = [np.random.default_rng(seed) for seed in seeds]
    members: list[Weights] = [
        {name: jnp.asarray(value) for name, value in start_weights(design, rng).items()} for rng in generators
    ]
    states = [optimiser.init(weights) for weights in members]
    for epoch in range(epochs):
        for batch in batches(epoch):
            for place, rng in enumerate(generators):
                masks = draw_masks(design, len(batch.target), rng)
                members[place], states[place] = update(members[place], states[place], batch.arrays, masks)
    return [{name: np.asarray(value) for name, value in weights.items()} for weights in members]


def draw_masks(design: Design, n: int, rng: np.random.Generator) -> Masks:
    """Return n masks of the state (n, hidden) and of the pooled state (n, 2 hidden): 0 or what keeps the mean."""

    def mask(columns: int, chance: float) -> NDArray[np.float32]:
        kept = rng.random((n, columns), dtype=np.float32) >= chance
        return kept.astype(np.float32) / np.float32(1.0 - chance)

    return mask(design.hidden, design.dropout), mask(2 * design.hidden, 2.0 * design.dropout)


class _Graph:
    """Nodes and constants of an ONNX graph, in the order in which they were added."""

    def __init__(self) -> None:
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []

    def constant(self, name: str, value: NDArray[Any]) -> str:
        """Add an array under a name; return the name."""
        self.constants.append(onnx.numpy_helper.from_array(np.ascontiguousarray(value), name))
        return name

    def node(self, kind: str, inputs: Sequence[str], *outputs: str, **attributes: Any) -> str:  # noqa: ANN401 - ONNX's
        """Add an operation; return the name of its first output."""
        self.nodes.append(onnx.helper.make_node(kind, inputs, outputs, **{"name": outputs[0], **attributes}))
        return outputs[0]


def _add_member(graph: _Graph, place: int, weights: Weights, masks: Masks, heads: int) -> list[str]:
    """Add one member with all its samples; return the names of their logits, (1, n, outputs) each."""
    of_state, of_pool = masks
    given = graph.constant(f"w{place}", weights["w"][None])
    bias = graph.constant(f"b{place}", np.concatenate([weights["b"], weights["rb"]])[None])
    logits = []
    for s, mask in enumerate(of_state):
        name = f"{place}.{s}"
        recurrent = graph.constant(f"r{name}", (weights["r"] * mask).astype(np.float32)[None])
        states, end = f"all{name}", f"end{name}"
        inputs = ["values", given, recurrent, bias, "nights"]
        graph.node(
            "GRU", inputs, states, end, name=f"gru{name}", hidden_size=weights["r"].shape[1], linear_before_reset=1
        )
        total = graph.node(
            "ReduceSum", [states, graph.constant(f"axes{name}", np.array([0, 1]))], f"sum{name}", keepdims=0
        )
        mean = graph.node("Div", [total, "divisor"], f"mean{name}")
        last = graph.node("Squeeze", [end, graph.constant(f"axis{name}", np.array([0]))], f"last{name}")
        pooled = graph.node("Concat", [mean, last], f"pooled{name}", axis=1)
        for h, pool in enumerate(of_pool[s * heads : (s + 1) * heads]):
            head = f"{name}.{h}"
            first = graph.constant(f"h{head}", (weights["w1"] * pool).astype(np.float32))
            hidden = graph.node(
                "Gemm", [pooled, first, graph.constant(f"hb{head}", weights["b1"])], f"g{head}", transB=1
            )
            active = graph.node("Relu", [hidden], f"a{head}")
            second = [graph.constant(f"o{head}", weights["w2"]), graph.constant(f"ob{head}", weights["b2"])]
            out = graph.node("Gemm", [active, *second], f"l{head}", transB=1)
            logits.append(graph.node("Unsqueeze", [out, graph.constant(f"u{head}", np.array([0]))], f"logits{head}"))
    return logits


def export(members: Sequence[Weights], masks: Sequence[Masks], heads: int) -> bytes:
    """Return one ONNX model: ``values`` (t, n, k) and ``nights`` (n,) to ``logits`` (samples, n, outputs).

    Parameters
    ----------
    members : fitted weights.
    masks : of each member, (s, hidden) and (s heads, 2 hidden): s recurrent samples with ``heads`` heads each.
    """
    helper, graph = onnx.helper, _Graph()
    graph.node("Cast", ["nights"], "length", to=onnx.TensorProto.FLOAT)
    graph.node("Unsqueeze", ["length", graph.constant("one", np.array([1], np.int64))], "divisor")
    logits = [
        name
        for place, (weights, of_member) in enumerate(zip(members, masks, strict=True))
        for name in _add_member(graph, place, weights, of_member, heads)
    ]
    graph.node("Concat", logits, "logits", axis=0)
    outputs, inputs = members[0]["w2"].shape[0], members[0]["w"].shape[1]
    given = [
        helper.make_tensor_value_info("values", onnx.TensorProto.FLOAT, ["t", "n", inputs]),
        helper.make_tensor_value_info("nights", onnx.TensorProto.INT32, ["n"]),
    ]
    said = helper.make_tensor_value_info("logits", onnx.TensorProto.FLOAT, [len(logits), "n", outputs])
    model = helper.make_model(
        helper.make_graph(graph.nodes, "recurrent", given, [said], graph.constants),
        producer_name="heliograph",
        ir_version=8,
        opset_imports=[helper.make_opsetid("", OPSET)],
    )
    onnx.checker.check_model(model)
    return bytes(model.SerializeToString(deterministic=True))
