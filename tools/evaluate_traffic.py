"""Measures the traffic model on scenes it never saw, and the pipeline's counts against the scenes' truth.

Uses the product's own engine, decoder, tracker and counter; PyTorch is not needed. Unseen means: other seeds
(from 1,000,000; training counts from 0), and only those quarters of every range of appearance and motion that
training leaves out (HELD_OUT_BANDS in edgecore/inference/scenes/draws.py). Exits 1 when precision or recall
of a label is below --least, or when a count is wrong.

A detection is right when its label is and it overlaps a true box that no better detection took, with IoU of
0.5 or more. True objects of which less than 0.3 is in the picture count for nothing, whether found or not.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from edgecore.base.group import CameraSpec
from edgecore.inference.detection import Detection
from edgecore.inference.engine import Engine, load_engine
from edgecore.inference.frames import Frame
from edgecore.inference.geometry import Point, iou
from edgecore.inference.pipeline import Pipeline
from edgecore.inference.preprocess import prepare
from edgecore.inference.scenes.draws import Split, mix
from edgecore.inference.scenes.parameters import SceneParameters, draw_scene
from edgecore.inference.scenes.schedule import PEDESTRIAN, VEHICLE
from edgecore.inference.scenes.traffic import TrafficScene
from edgecore.inference.scenes.truth import TrueCrossing, TrueObject

MODEL = Path(__file__).resolve().parent.parent / "deploy/traffic-junction/models/traffic.onnx"
FIRST_UNSEEN_SEED = 1_000_000
IOU = 0.5
IGNORED_BELOW = 0.3
MODEL_LIMIT = 2_000_000
LINES = {"stop-line": ((0.0, 0.65), (1.0, 0.65)), "crosswalk": ((0.5, 0.15), (0.5, 0.6))}
TOLERANCE = 6
"""Frames by which a counted crossing may be early or late: a box that is two pixels off, at walking speed."""
WARM_UP = 10
"""Frames after the start in which what crosses was not seen before, and may be counted or not."""


@dataclass
class Score:
    """Detections and true objects of one label."""

    right: int = 0
    wrong: int = 0
    missed: int = 0
    overlap: float = 0.0

    @property
    def precision(self) -> float:
        """The share of detections that are right."""
        return self.right / max(1, self.right + self.wrong)

    @property
    def recall(self) -> float:
        """The share of objects that were found."""
        return self.right / max(1, self.right + self.missed)


@dataclass
class CountCheck:
    """Counted crossings of one scene against the truth."""

    seed: int
    frames: int
    true: int
    missed: list[TrueCrossing] = field(default_factory=list)
    extra: list[tuple[int, str, str, str]] = field(default_factory=list)


def camera() -> CameraSpec:
    """The camera that is measured: the lines of the traffic junction, the model's own threshold."""
    return CameraSpec("measured", "synthetic:traffic", "measured", MODEL.name, lines=dict(LINES))


def pipeline_of(engine: Engine, spec: CameraSpec | None = None) -> Pipeline:
    """A fresh pipeline as the service makes it."""
    return Pipeline(spec or camera(), engine, time.perf_counter)


def unseen(index: int) -> SceneParameters:
    """The parameters of an unseen scene."""
    return draw_scene(FIRST_UNSEEN_SEED + index, Split.HELD_OUT)


def compare(found: Sequence[Detection], truth: Sequence[TrueObject], scores: dict[str, Score]) -> None:
    """Add one frame to the scores; `found` is best first."""
    free = list(truth)
    for detection in found:
        near = [(iou(detection.box, one.box), one) for one in free if one.label == detection.label]
        overlap, match = max(near, default=(0.0, None), key=lambda pair: pair[0])
        if match is not None and overlap >= IOU:
            free.remove(match)
            if match.visible >= IGNORED_BELOW:
                scores[detection.label].right += 1
                scores[detection.label].overlap += overlap
        elif not _on_a_cut_object(detection, truth):
            scores[detection.label].wrong += 1
    for one in free:
        if one.visible >= IGNORED_BELOW:
            scores[one.label].missed += 1


def _on_a_cut_object(detection: Detection, truth: Sequence[TrueObject]) -> bool:
    return any(
        one.visible < IGNORED_BELOW and one.label == detection.label and iou(one.box, detection.box) > 0
        for one in truth
    )


def evaluate(engine: Engine, scenes: int, frames: int) -> dict[str, Score]:
    """Detection scores over unseen scenes, `frames` scattered frames of each."""
    scores = {VEHICLE: Score(), PEDESTRIAN: Score()}
    for index in range(scenes):
        scene = TrafficScene(unseen(index))
        for place in range(frames):
            # Each frame through a pipeline of its own: detections only, no help from the frames before.
            number = mix(index, place) % 100_000
            result = pipeline_of(engine).process(Frame(number, 0.0, scene.frame(number)))
            compare(result.detections, scene.truth(number), scores)
    return scores


def check_counts(engine: Engine, seed: int, frames: int, first: int = 0) -> CountCheck:
    """Run the whole pipeline over consecutive frames and match every crossing with the truth, one to one."""
    scene = TrafficScene(draw_scene(seed, Split.HELD_OUT))
    pipeline = pipeline_of(engine)
    last = first + frames - 1
    counted: list[tuple[int, str, str, str]] = [
        (crossing.frame, crossing.line, crossing.label, crossing.direction)
        for number in range(first, last + 1)
        for crossing in pipeline.process(Frame(number, 0.0, scene.frame(number))).crossings
    ]
    lines = {name: (Point(*start), Point(*end)) for name, (start, end) in LINES.items()}
    true = scene.crossings(lines, first - TOLERANCE, last + TOLERANCE)
    required = range(first + WARM_UP, last - TOLERANCE + 1)
    check = CountCheck(seed, frames, sum(one.frame in required for one in true), extra=sorted(counted))
    for crossing in true:
        # Both are in order, so that the first that fits is the right one to take.
        match = next((one for one in check.extra if _same(one, crossing)), None)
        if match is not None:
            check.extra.remove(match)
        elif crossing.frame in required:
            check.missed.append(crossing)
    return check


def _same(one: tuple[int, str, str, str], crossing: TrueCrossing) -> bool:
    return one[1:] == crossing[1:4] and abs(one[0] - crossing.frame) <= TOLERANCE


def speeds(engine: Engine, frames: int) -> dict[str, float]:
    """Milliseconds for a frame: drawing it, the pipeline without drawing, and the bare model; interleaved."""
    scene, pipeline = TrafficScene(unseen(0)), pipeline_of(engine)
    spent: Counter[str] = Counter()
    for number in range(frames):
        began = time.perf_counter()
        picture = scene.frame(number)
        drawn = time.perf_counter()
        pipeline.process(Frame(number, 0.0, picture))
        done = time.perf_counter()
        tensor, _ = prepare(picture, engine.card.input)
        before = time.perf_counter()
        engine.run(tensor)
        spent.update({"draw": drawn - began, "pipeline": done - drawn, "model": time.perf_counter() - before})
    return {name: 1000 * seconds / frames for name, seconds in spent.items()}


def main() -> int:
    """Measure, print, judge."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", type=Path, default=MODEL)
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--frames", type=int, default=20, help="of each scene, scattered")
    parser.add_argument("--count-seeds", type=int, default=5, help="scenes whose crossings are counted")
    parser.add_argument("--count-frames", type=int, default=3000)
    parser.add_argument("--least", type=float, default=0.95)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    engine = load_engine(arguments.model.parent, arguments.model.name, 1, MODEL_LIMIT)
    scores = evaluate(engine, arguments.scenes, arguments.frames)
    first = FIRST_UNSEEN_SEED + 10_000
    checks = [check_counts(engine, first + i, arguments.count_frames) for i in range(arguments.count_seeds)]
    milliseconds = speeds(engine, 500)
    if arguments.json:
        print(json.dumps(_record(scores, checks, milliseconds), indent=2))
    else:
        _print(scores, checks, milliseconds)
    good = all(min(score.precision, score.recall) >= arguments.least for score in scores.values())
    return 0 if good and not any(check.missed or check.extra for check in checks) else 1


def _record(
    scores: dict[str, Score], checks: list[CountCheck], milliseconds: dict[str, float]
) -> dict[str, object]:
    return {
        "labels": {
            label: {
                "precision": score.precision,
                "recall": score.recall,
                "mean_iou": score.overlap / max(1, score.right),
                "objects": score.right + score.missed,
            }
            for label, score in scores.items()
        },
        "counts": [
            {"seed": c.seed, "frames": c.frames, "true": c.true, "missed": c.missed, "extra": c.extra}
            for c in checks
        ],
        "milliseconds": milliseconds,
    }


def _print(scores: dict[str, Score], checks: list[CountCheck], milliseconds: dict[str, float]) -> None:
    print(f"{'label':12} {'precision':>9} {'recall':>9} {'mean IoU':>9} {'objects':>9}")
    for label, score in scores.items():
        mean = score.overlap / max(1, score.right)
        objects = score.right + score.missed
        print(f"{label:12} {score.precision:9.4f} {score.recall:9.4f} {mean:9.3f} {objects:9}")
    print(f"\n{'seed':>9} {'frames':>7} {'crossings':>9} {'missed':>7} {'extra':>7}")
    for check in checks:
        print(f"{check.seed:9} {check.frames:7} {check.true:9} {len(check.missed):7} {len(check.extra):7}")
        for wrong in (*check.missed, *check.extra):
            print(f"          {wrong}")
    print("\nms per frame: " + ", ".join(f"{name} {value:.2f}" for name, value in milliseconds.items()))


if __name__ == "__main__":
    sys.exit(main())
