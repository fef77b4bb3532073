"""THE CELLAR: one SQLite database with its writer thread, and dictionaries on sqlitedict.

The only home of both. Rooms see works, queues and bytes; SQLite's errors stay inside as StoreError.
"""

from edgecore.store.batch import Batcher
from edgecore.store.bounds import QueueBounds
from edgecore.store.database import Database, durable
from edgecore.store.dictionary import Dictionary
from edgecore.store.envelope import decode_message, encode_message
from edgecore.store.lock import StoreLock
from edgecore.store.memory import MemoryQueue
from edgecore.store.queue import IDS_PER_OPENING, DurableQueue, Slot
from edgecore.store.retained import RetainedStore
from edgecore.store.sessions import Loaded, SessionStore, StoredRow
from edgecore.store.settings import StoreSettings
from edgecore.store.spans import runs
from edgecore.store.transaction import Connection

__all__ = [
    "IDS_PER_OPENING",
    "Batcher",
    "Connection",
    "Database",
    "Dictionary",
    "DurableQueue",
    "Loaded",
    "MemoryQueue",
    "QueueBounds",
    "RetainedStore",
    "SessionStore",
    "Slot",
    "StoreLock",
    "StoreSettings",
    "StoredRow",
    "decode_message",
    "durable",
    "encode_message",
    "runs",
]
