"""The practice cluster: an API server in this process, for learning and for tests.

    async with await Sandbox.start() as cluster:
        config = cluster.kubeconfig("alice")

Three layers: `objects` (kinds, types, defaults, checks, patches, rights, the store), `controllers` (what happens by
itself, and faults on purpose) and `api` (HTTP). `load` reads manifests, `cluster` puts the parts together. Where it
differs from a real API server, the real one is right: tests/k8s/sandbox/test_fidelity.py puts the same requests to both.
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
