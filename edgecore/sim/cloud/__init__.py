"""A simulated AWS IoT Core: broker, shadows, jobs, HTTPS data plane and credentials provider, by AWS's rules.

It shares no code with the core's own router, store and shadows, so that no error can agree with
itself. What it does not do is refused with a reason: rules, streams, provisioning, Defender.
Every certificate of its CA may do everything until there is a policy; rate limits are off until
they are asked for.
"""

from edgecore.sim.cloud.directions import describe, snippet
from edgecore.sim.cloud.limits import AWS, NONE
from edgecore.sim.cloud.server import serve

__all__ = ["AWS", "NONE", "describe", "serve", "snippet"]
