"""Fixtures shared by every test: a PostgreSQL server, and the real control plane where it is built."""

import importlib.util

pytest_plugins = [
    name
    for name in ("tests.postgres", "tests.controlplane.fixtures")
    if importlib.util.find_spec(name.rpartition(".")[0]) and importlib.util.find_spec(name)
]
