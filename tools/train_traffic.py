"""Trains the traffic model on drawn scenes and writes it as a self-describing ONNX file.

Runs in an environment of its own (see tools/README.md): the product needs no PyTorch. Training sees only
the training split of the scenes: seeds from 0, and three quarters of every range of appearance and motion
(edgecore/inference/scenes/draws.py). evaluate_traffic.py measures on the rest.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional
from torch.nn.utils.fusion import fuse_conv_bn_eval

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgecore.inference.scenes.draws import Split
from edgecore.inference.scenes.parameters import HEIGHT, WIDTH, draw_scene
from edgecore.inference.scenes.schedule import PEDESTRIAN, VEHICLE
from edgecore.inference.scenes.traffic import TrafficScene

LABELS = (VEHICLE, PEDESTRIAN)
STRIDE = 8
"""Pixels per cell of the output: pedestrians are two cells wide and stand four cells apart."""
ROWS, COLUMNS = HEIGHT // STRIDE, WIDTH // STRIDE
UNIT = 16.0
"""Pixels for a distance of e^0: near the middle of what occurs (6 to 40)."""
SCENE_FRAMES = 6000
"""Training frames are drawn from the first ten minutes of a scene."""
IGNORED_BELOW = 0.3
"""Objects with less than this share in the picture are neither right nor wrong."""
THRESHOLD = 0.4

Floats = NDArray[np.float32]
Torch: TypeAlias = Any  # a tensor or module: torch is not installed where types are checked


@dataclass(frozen=True)
class Sample:
    """A frame and its objects: one row of label, left, top, right, bottom (pixels) and visible share each."""

    picture: NDArray[np.uint8]
    objects: Floats


def block(inputs: int, outputs: int, stride: int = 1) -> Torch:
    """A 3x3 convolution with its normalisation."""
    conv = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(outputs), nn.ReLU())


class Detector(nn.Module):  # type: ignore[misc]  # torch is not installed where mypy runs
    """Eight times smaller maps of centres (one per label) and of four distances to the box's edges."""

    def __init__(self, widths: tuple[int, int, int, int] = (8, 16, 32, 48)) -> None:
        super().__init__()
        first, second, third, deep = widths
        self.stem = nn.Sequential(
            block(3, first, 2), block(first, second, 2), block(second, third, 2), block(third, third)
        )
        self.deep = nn.Sequential(block(third, deep, 2), block(deep, deep), block(deep, deep))
        self.up = nn.Conv2d(deep, third, 1)
        self.join = block(third, third)
        self.out = nn.Conv2d(third, len(LABELS) + 4, 1)
        # Centres are rare: start from their true frequency, or the first steps are spent on unlearning.
        nn.init.constant_(self.out.bias[: len(LABELS)], -4.0)

    def forward(self, pictures: Torch) -> tuple[Torch, Torch]:
        """Pictures (n, 3, HEIGHT, WIDTH) in 0..1 to centre logits and edge distances in units."""
        fine = self.stem(pictures)
        coarse = functional.interpolate(self.up(self.deep(fine)), scale_factor=2.0, mode="nearest")
        out = self.out(self.join(fine + coarse))
        return out[:, : len(LABELS)], torch.exp(out[:, len(LABELS) :].clamp(-4.0, 3.0))


class Exported(nn.Module):  # type: ignore[misc]  # torch is not installed where mypy runs
    """The whole way from a camera's bytes to peaks and boxes, so that a frame needs no work in Python."""

    def __init__(self, detector: Detector) -> None:
        super().__init__()
        self.detector = detector
        self.register_buffer("centres", torch.from_numpy(cell_centres()))
        self.register_buffer("size", torch.tensor([WIDTH, HEIGHT, WIDTH, HEIGHT]).float())

    def forward(self, image: Torch) -> tuple[Torch, Torch]:
        """Bytes (1, height, width, 3) to what the decoder `centre-peaks` wants (models/README.md)."""
        logits, reach = self.detector(image.permute(0, 3, 1, 2).float() * (1 / 255))
        scores = torch.sigmoid(logits)
        peaks = scores * (scores == functional.max_pool2d(scores, 3, 1, 1)).float()
        edges = self.centres + reach * torch.tensor([-UNIT, -UNIT, UNIT, UNIT]).view(1, 4, 1, 1)
        return peaks, edges.permute(0, 2, 3, 1) / self.size


def cell_centres() -> Floats:
    """(1, 4, rows, columns): x, y, x, y of each cell's middle in pixels."""
    y, x = np.mgrid[0:ROWS, 0:COLUMNS].astype(np.float32) * STRIDE + STRIDE / 2
    return np.stack([x, y, x, y])[None]


def render(scenes: int, frames: int) -> list[Sample]:
    """`frames` frames of each of `scenes` training scenes; the few without any object are kept."""
    chance = np.random.default_rng(1)
    samples = []
    for seed in range(scenes):
        scene = TrafficScene(draw_scene(seed, Split.TRAINING))
        for number in chance.integers(0, SCENE_FRAMES, frames):
            rows = [
                (
                    LABELS.index(o.label),
                    o.box.left * WIDTH,
                    o.box.top * HEIGHT,
                    o.box.right * WIDTH,
                    o.box.bottom * HEIGHT,
                    o.visible,
                )
                for o in scene.truth(int(number))
            ]
            samples.append(Sample(scene.frame(int(number)), np.array(rows, np.float32).reshape(-1, 6)))
    return samples


def varied(sample: Sample, chance: np.random.Generator) -> Sample:
    """The sample mirrored, moved, brightened and partly masked at random, and its objects likewise."""
    picture, objects = sample.picture.copy(), sample.objects.copy()
    if chance.random() < 0.5:
        picture = picture[:, ::-1]
        objects[:, [1, 3]] = WIDTH - objects[:, [3, 1]]
    if chance.random() < 0.5:
        picture, objects = moved(
            picture, objects, int(chance.integers(-60, 61)), int(chance.integers(-40, 81))
        )
    if chance.random() < 0.3:
        picture, objects = masked(np.ascontiguousarray(picture), objects, chance)
    if chance.random() < 0.3:
        scaled = picture.astype(np.float32) * chance.uniform(0.7, 1.25) * chance.uniform(0.92, 1.08, 3)
        picture = np.clip(scaled, 0, 255).astype(np.uint8)
    return Sample(picture, objects)


def cut(objects: Floats, left: float, top: float, right: float, bottom: float) -> Floats:
    """The objects as far as they show in a window; those that do not are gone."""
    before = (objects[:, 3] - objects[:, 1]) * (objects[:, 4] - objects[:, 2])
    objects[:, [1, 3]] = objects[:, [1, 3]].clip(left, right)
    objects[:, [2, 4]] = objects[:, [2, 4]].clip(top, bottom)
    after = (objects[:, 3] - objects[:, 1]) * (objects[:, 4] - objects[:, 2])
    objects[:, 5] *= after / np.maximum(before, 1e-6)
    return objects[after > 0]


def moved(picture: NDArray[np.uint8], objects: Floats, x: int, y: int) -> tuple[NDArray[np.uint8], Floats]:
    """Moved by x and y pixels; what comes into view is grey, and objects are cut at the old edge still."""
    rows, columns = np.arange(HEIGHT) - y, np.arange(WIDTH) - x
    shown = picture[rows.clip(0, HEIGHT - 1)][:, columns.clip(0, WIDTH - 1)]
    shown[(rows < 0) | (rows >= HEIGHT)] = 90
    shown[:, (columns < 0) | (columns >= WIDTH)] = 90
    objects = objects + np.array([0, x, y, x, y, 0], np.float32)
    return shown, cut(objects, max(0, x), max(0, y), min(WIDTH, WIDTH + x), min(HEIGHT, HEIGHT + y))


def masked(
    picture: NDArray[np.uint8], objects: Floats, chance: np.random.Generator
) -> tuple[NDArray[np.uint8], Floats]:
    """A black band at the top or at a side, as a privacy mask makes it."""
    depth = int(chance.integers(8, 60))
    side = chance.integers(0, 3)
    window = [(0, depth, WIDTH, HEIGHT), (depth, 0, WIDTH, HEIGHT), (0, 0, WIDTH - depth, HEIGHT)][side]
    keep = np.zeros((HEIGHT, WIDTH, 1), np.uint8)
    keep[window[1] : window[3], window[0] : window[2]] = 1
    return picture * keep, cut(objects, *window)


def targets(objects: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """For one frame: centre map, weight of the centre loss, edge distances, weight of the box loss."""
    centre = np.zeros((len(LABELS), ROWS, COLUMNS), np.float32)
    counted = np.ones((1, ROWS, COLUMNS), np.float32)
    reach = np.ones((4, ROWS, COLUMNS), np.float32)
    weight = np.zeros((1, ROWS, COLUMNS), np.float32)
    x, y, *_ = cell_centres()[0]
    for label, left, top, right, bottom, visible in objects:
        if visible < IGNORED_BELOW:
            inside = (x > left - STRIDE) & (x < right + STRIDE) & (y > top - STRIDE) & (y < bottom + STRIDE)
            counted[0][inside] = 0
            continue
        middle = (left + right) / 2, (top + bottom) / 2
        spread = max(right - left, 8) * 0.16, max(bottom - top, 8) * 0.16
        cell = int(min(middle[1] / STRIDE, ROWS - 1)), int(min(middle[0] / STRIDE, COLUMNS - 1))
        bell = np.exp(
            -((x - x[cell]) ** 2) / (2 * spread[0] ** 2) - (y - y[cell]) ** 2 / (2 * spread[1] ** 2)
        )
        centre[int(label)] = np.maximum(centre[int(label)], bell)
        near = (bell > 0.2) & (bell > weight[0])
        reach[:, near] = (np.stack([x - left, y - top, right - x, bottom - y]) / UNIT)[:, near].clip(0.02, 20)
        weight[0][near] = bell[near]
    return centre, counted, reach, weight


def batches(samples: list[Sample], size: int, steps: int) -> Iterator[tuple[Torch, ...]]:
    """Batches of varied samples with their targets, as tensors."""
    chance = np.random.default_rng(2)
    for _ in range(steps):
        chosen = [varied(samples[int(i)], chance) for i in chance.integers(0, len(samples), size)]
        pictures = torch.from_numpy(np.stack([s.picture for s in chosen])).permute(0, 3, 1, 2).float() / 255
        yield (
            pictures,
            *(
                torch.from_numpy(np.stack(part))
                for part in zip(*map(targets, (s.objects for s in chosen)), strict=True)
            ),
        )


def loss(logits: Torch, reach: Torch, centre: Torch, counted: Torch, wanted: Torch, weight: Torch) -> Torch:
    """The focal loss of CenterNet (alpha 2, beta 4) for centres; overlap and log distance for boxes."""
    chance = torch.sigmoid(logits).clamp(1e-4, 1 - 1e-4)
    hit = (centre > 0.999).float()
    rewards = hit * (1 - chance) ** 2 * torch.log(chance)
    penalties = (1 - hit) * (1 - centre) ** 4 * chance**2 * torch.log(1 - chance)
    count = hit.sum().clamp(min=1)
    focal = -((rewards + penalties) * counted).sum() / count
    shared = torch.minimum(reach, wanted)
    inner = (shared[:, 0] + shared[:, 2]) * (shared[:, 1] + shared[:, 3])
    ours = (reach[:, 0] + reach[:, 2]) * (reach[:, 1] + reach[:, 3])
    theirs = (wanted[:, 0] + wanted[:, 2]) * (wanted[:, 1] + wanted[:, 3])
    overlap = 1 - inner / (ours + theirs - inner).clamp(min=1e-6)
    distance = (reach - wanted).abs().mean(1)
    total = weight.sum().clamp(min=1)
    return focal + ((2 * overlap + distance) * weight[:, 0]).sum() / total


def train(samples: list[Sample], steps: int, minutes: float, batch: int) -> Torch:
    """Train until `steps` are done or `minutes` are over; the learning rate falls as either comes near."""
    torch.manual_seed(3)
    detector = Detector().to(memory_format=torch.channels_last)
    optimizer = torch.optim.AdamW(detector.parameters(), lr=3e-3, weight_decay=1e-4)
    began = time.monotonic()
    for step, (pictures, *wanted) in enumerate(batches(samples, batch, steps)):
        done = max(step / steps, (time.monotonic() - began) / 60 / minutes)
        if done >= 1:
            break
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, (step + 1) / 200) * (0.5 + 0.5 * float(np.cos(np.pi * done))) + 1e-5
        value = loss(*detector(pictures.contiguous(memory_format=torch.channels_last)), *wanted)
        optimizer.zero_grad()
        value.backward()
        nn.utils.clip_grad_norm_(detector.parameters(), 5.0)
        optimizer.step()
        if step % 100 == 0:
            print(f"step {step}  loss {value.item():.4f}  {time.monotonic() - began:.0f} s", flush=True)
    return detector.eval()


def fused(module: Torch) -> Torch:
    """The module with every normalisation folded into the convolution before it."""
    for name, child in module.named_children():
        if isinstance(child, nn.Sequential) and isinstance(child[0], nn.Conv2d):
            setattr(module, name, nn.Sequential(fuse_conv_bn_eval(child[0], child[1]), child[2]))
        else:
            fused(child)
    return module


def export(detector: Torch, path: Path) -> None:
    """Write the model and what it says about itself."""
    image = torch.zeros(1, HEIGHT, WIDTH, 3, dtype=torch.uint8)
    names = {"input_names": ["image"], "output_names": ["scores", "boxes"]}
    model = Exported(fused(detector.to(memory_format=torch.contiguous_format))).eval()
    torch.onnx.export(model, (image,), path, **names, opset_version=18, dynamo=True, external_data=False)
    written = onnx.load(path)
    del written.metadata_props[:]
    for node in written.graph.node:
        del node.metadata_props[:]
        node.doc_string = ""
    for key, value in metadata().items():
        written.metadata_props.add(key=key, value=value)
    onnx.checker.check_model(written)
    onnx.save(written, path)
    print(f"{path}: {path.stat().st_size} bytes")


def metadata() -> dict[str, str]:
    """What makes the file self-describing (models/README.md)."""
    return {
        "edgecore.task": "detect",
        "edgecore.decoder": "centre-peaks",
        "edgecore.labels": ",".join(LABELS),
        "edgecore.input.layout": "NHWC",
        "edgecore.input.color": "BGR",
        "edgecore.input.resize": "stretch",
        "edgecore.threshold": str(THRESHOLD),
    }


def main() -> None:
    """Render, train, export."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path, default=Path("deploy/traffic-junction/models/traffic.onnx"))
    parser.add_argument("--scenes", type=int, default=800)
    parser.add_argument("--frames", type=int, default=12, help="of each scene")
    parser.add_argument("--steps", type=int, default=7000)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--minutes", type=float, default=20.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--weights", type=Path, help="also keep the trained weights here")
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    began = time.monotonic()
    samples = render(arguments.scenes, arguments.frames)
    print(f"{len(samples)} frames drawn in {time.monotonic() - began:.0f} s", flush=True)
    detector = train(samples, arguments.steps, arguments.minutes, arguments.batch)
    if arguments.weights:
        torch.save(detector.state_dict(), arguments.weights)
    export(detector, arguments.out)


if __name__ == "__main__":
    main()
