"""The camera pipeline: from a frame source through a model to detections, tracks and line crossings.

Importing this room loads neither numpy nor OpenCV nor onnxruntime: they are the optional extra [vision].
"""

from edgecore.inference.service import InferenceService
from edgecore.inference.settings import InferenceSettings

__all__ = ["InferenceService", "InferenceSettings"]
