"""How every model is run: ONNX Runtime in one thread, on the processor, without spinning."""

from __future__ import annotations

import onnxruntime

from graph.errors import ModelError


def start_session(model: bytes, name: str, *, threads: int = 1) -> onnxruntime.InferenceSession:
    """Return an ONNX Runtime session that does not spin while it waits.

    Raises
    ------
    ModelError : the bytes are no model that this runtime can run.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    # onnxruntime's own exceptions share no base but Exception.
    try:
        return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
    except Exception as error:
        raise ModelError(f"the model {name} cannot be run: {error}") from error
