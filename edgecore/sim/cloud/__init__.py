"""A simulated AWS IoT Core: MQTT over mutual TLS and the Device Shadow service, by AWS's rules.

It shares no code with the core's own router, store and shadows, so that no error can agree with
itself. What it does not do is refused with a reason: jobs, lifecycle events, HTTP, policies (every
certificate of its CA may do everything) and rate limits (off).
"""

from edgecore.sim.cloud.server import describe, serve

__all__ = ["describe", "serve"]
