"""The practice cluster: an API server in this process, for learning and for tests.

async with await Sandbox.start() as cluster:
    config = cluster.kubeconfig("alice")
"""

from k8s.sandbox.cluster import Sandbox, break_remote, serve, write_kubeconfigs
from k8s.sandbox.controllers.faults import FAULTS, FaultUnknown
from k8s.sandbox.load import ManifestBroken
from k8s.sandbox.objects.people import ADMIN, GROUPS

__all__ = [
    "ADMIN",
    "FAULTS",
    "GROUPS",
    "FaultUnknown",
    "ManifestBroken",
    "Sandbox",
    "break_remote",
    "serve",
    "write_kubeconfigs",
]
