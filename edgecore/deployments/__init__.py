"""WHAT RUNS HERE: the group's file, the plan, the folders on disk and the journal of deployments.

Nothing else decides which group is active. It replaces units only through base Units.
"""

from edgecore.deployments.manifest import group_folder, load_group
from edgecore.deployments.plan import plan
from edgecore.deployments.service import DeploymentsService, check_local, restore
from edgecore.deployments.settings import DeploymentsSettings

__all__ = [
    "DeploymentsService",
    "DeploymentsSettings",
    "check_local",
    "group_folder",
    "load_group",
    "plan",
    "restore",
]
