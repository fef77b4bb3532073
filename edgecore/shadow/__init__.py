"""DEVICE SHADOWS: documents, their topics, and their synchronisation with AWS IoT Core."""

from edgecore.shadow.service import ShadowService
from edgecore.shadow.settings import ShadowSettings

__all__ = ["ShadowService", "ShadowSettings"]
