import builtins

import numpy as np
import pytest

from edgecore.base.errors import ModelError, UnavailableError
from edgecore.inference.engine import load_engine

LIMIT = 2_000_000


def test_the_committed_model_loads_and_says_how_it_is_used(engine):
    assert engine.card.labels == ("vehicle", "pedestrian")
    assert engine.card.decoder == "centre-peaks"
    assert len(engine.digest) == 64


def test_it_runs(engine):
    found = engine.run(np.zeros((1, 240, 320, 3), np.uint8))
    assert found["scores"].shape == (1, 2, 30, 40)
    assert found["boxes"].shape == (1, 30, 40, 4)


def test_a_wrong_input_is_a_model_error(engine):
    with pytest.raises(ModelError, match=r"shape \[1, 3\]"):
        engine.run(np.zeros((1, 3), np.uint8))


def test_the_model_is_small(models):
    assert (models / "traffic.onnx").stat().st_size <= LIMIT


def test_a_file_that_is_missing_outside_or_too_large_is_refused(tmp_path):
    (tmp_path / "group").mkdir()
    (tmp_path / "outside.onnx").write_bytes(b"x")
    (tmp_path / "group" / "large.onnx").write_bytes(b"x" * 11)
    (tmp_path / "group" / "link.onnx").symlink_to(tmp_path / "outside.onnx")
    for name, reason in [
        ("none.onnx", "no such file"),
        ("../outside.onnx", "leaves the group"),
        ("link.onnx", "leaves the group"),
        ("large.onnx", "found 11 bytes, expected at most 10"),
    ]:
        with pytest.raises(ModelError, match=reason):
            load_engine(tmp_path / "group", name, 1, 10)


def test_bytes_that_are_no_model_are_refused(tmp_path):
    (tmp_path / "bad.onnx").write_bytes(b"not a model")
    with pytest.raises(ModelError, match="onnxruntime cannot load it"):
        load_engine(tmp_path, "bad.onnx", 1, LIMIT)


def test_a_model_that_does_not_say_how_it_is_used_is_refused(tmp_path, models):
    content = (models / "traffic.onnx").read_bytes()
    (tmp_path / "silent.onnx").write_bytes(content.replace(b"edgecore.labels", b"edgecore.lapels"))
    with pytest.raises(ModelError, match=r"silent\.onnx: metadata edgecore\.labels: found nothing"):
        load_engine(tmp_path, "silent.onnx", 1, LIMIT)


def test_without_onnxruntime_the_cure_is_named(monkeypatch, models):
    real = builtins.__import__

    def without(name, *arguments, **options):
        if name == "onnxruntime":
            raise ImportError("No module named 'onnxruntime'")
        return real(name, *arguments, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(UnavailableError, match=r"edgecore\[vision\]"):
        load_engine(models, "traffic.onnx", 1, LIMIT)
