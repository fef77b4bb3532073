"""The ONNX engine: the only file that imports onnxruntime, and only when a model is loaded.

Knows nothing of frames or boxes: bytes of a model in, arrays in, arrays out. `load` and `run` block.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from edgecore.base.errors import ModelError, UnavailableError
from edgecore.inference.card import ModelCard, Tensor, read_card

_CURE = "install the optional extra: pip install 'edgecore[vision]'"


class _Session(Protocol):
    """What is used of onnxruntime.InferenceSession, which has no type information."""

    def run(self, names: None, feed: dict[str, NDArray[Any]]) -> list[NDArray[Any]]: ...
    def get_inputs(self) -> list[Tensor]: ...
    def get_outputs(self) -> list[Tensor]: ...
    def get_modelmeta(self) -> _Meta: ...


class _Meta(Protocol):
    custom_metadata_map: dict[str, str]


class Engine:
    """A loaded and warmed-up model. May be run from several threads."""

    def __init__(self, session: _Session, card: ModelCard, digest: str) -> None:
        self._session = session
        self.card = card
        self.digest = digest

    def run(self, tensor: NDArray[Any]) -> dict[str, NDArray[Any]]:
        """Outputs by name. Raises ModelError when the model fails on this input."""
        try:
            found = self._session.run(None, {self.card.input.name: tensor})
        except Exception as error:  # onnxruntime raises classes of its own, without a common root
            raise ModelError(
                f"the model failed on an input of shape {list(tensor.shape)}: {error}"
            ) from error
        return dict(zip(self.card.outputs, found, strict=True))


def load_engine(root: Path, relative: str, threads: int, limit: int) -> Engine:
    """Load the model at `relative` under `root`, and run it once so that the first frame is not slow.

    `limit` is the largest file in bytes. Raises ModelError (no such file, outside of root, too large, not a
    model, does not say how it is used) and UnavailableError (onnxruntime is not installed).
    """
    content = checked(root, relative, limit)
    session = _session(content, relative, threads)
    inputs = [Tensor(t.name, t.shape, t.type) for t in session.get_inputs()]
    outputs = [Tensor(t.name, t.shape, t.type) for t in session.get_outputs()]
    try:
        card = read_card(session.get_modelmeta().custom_metadata_map, inputs, outputs)
    except ModelError as error:
        raise ModelError(f"model {relative}: {error}") from error
    engine = Engine(session, card, hashlib.sha256(content).hexdigest())
    size = (card.input.height, card.input.width)
    shape = (1, *size, 3) if card.input.layout == "NHWC" else (1, 3, *size)
    engine.run(np.zeros(shape, np.dtype(card.input.dtype)))
    return engine


def checked(root: Path, relative: str, limit: int) -> bytes:
    """The content of a model file that lies under `root` and is not larger than `limit` bytes."""
    path, home = (root / relative).resolve(), root.resolve()
    if not path.is_relative_to(home):
        raise ModelError(
            f"model {relative}: found a path that leaves the group, expected a file under {home}"
        )
    if not path.is_file():
        raise ModelError(f"model {relative}: no such file in {home}")
    size = path.stat().st_size
    if size > limit:
        raise ModelError(f"model {relative}: found {size} bytes, expected at most {limit}")
    return path.read_bytes()


def _session(content: bytes, relative: str, threads: int) -> _Session:
    try:
        import onnxruntime  # noqa: PLC0415  optional extra
    except ImportError as error:
        raise UnavailableError(f"model {relative} needs onnxruntime ({error}): {_CURE}") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    # At 10 frames a second spinning threads cost 41 % of a core, sleeping ones 6 %.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.log_severity_level = 3
    try:
        session: _Session = onnxruntime.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime raises classes of its own, without a common root
        raise ModelError(f"model {relative}: onnxruntime cannot load it: {error}") from error
    return session
