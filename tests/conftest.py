"""Fixtures shared by every test: a PostgreSQL server, the real control plane where it is built, and both clusters in one."""

import importlib.util

from hypothesis import HealthCheck, settings

pytest_plugins = [
    name
    for name in ("tests.postgres", "tests.controlplane.fixtures", "tests.clusters")
    if importlib.util.find_spec(name.rpartition(".")[0]) and importlib.util.find_spec(name)
]

# A busy machine is no defect.
settings.register_profile("kubechat", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("kubechat")
