"""FRONT DOOR: MQTT over mutually authenticated TLS; certificate -> Principal; the registry and the CA.

Joins mqtt (bytes and sessions) to router (who may send what to whom). Knows nothing of functions,
shadows or the cloud.
"""

from edgecore.listener.kept_sessions import KeptSessions
from edgecore.listener.service import ListenerService
from edgecore.listener.sessions import Sessions
from edgecore.listener.settings import ListenerSettings
from edgecore.listener.tls import TlsFiles

__all__ = ["KeptSessions", "ListenerService", "ListenerSettings", "Sessions", "TlsFiles"]
