"""WINDOW: what operators see and do. The control API on a local socket, and the metrics.

Acts only for a Principal that the kernel vouches for; asks other rooms through base's protocols.
"""

from edgecore.api.service import SOCKET_NAME, ApiService
from edgecore.api.settings import ApiSettings

__all__ = ["SOCKET_NAME", "ApiService", "ApiSettings"]
