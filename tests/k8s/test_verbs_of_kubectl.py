"""The verb table against the help of the real kubectl: what KubeChat shows is a line that kubectl takes, read the same way."""

import os
import re
import subprocess
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from k8s.verbs import GLOBAL_FLAGS, REFUSED_FLAGS, VERBS, Verb
from tests.controlplane import build
from tests.controlplane.fixtures import unavailable

Flags = dict[str, tuple[str | None, str]]
"""Name → letter and default value."""

OLDER = {"autoscale": {"cpu-percent"}}
"""Flags of kubectl 1.35 and earlier that 1.36 has renamed."""

LEFT_OUT = {
    "allow-missing-template-keys", "concurrency", "detach-keys", "disable-compression", "log-flush-frequency",
    "match-server-version", "openapi-patch", "output-watch-events", "use-protocol-buffers", "warnings-as-errors", "show-swap",
}  # fmt: skip
"""Harmless flags that KubeChat has no use for: unknown, with no reason of their own."""

NOT_HERE = {
    **{key: {"show-managed-fields"} for key in ["events", "api-resources", "auth whoami", "rollout history", "wait"]},
    **{key: {"save-config"} for key in ["autoscale", "expose"]},
    "apply": {"all", "selector", "subresource"},  # the first two go with --prune, or hide a part of the manifest
    "diff": {"selector"},
    "taint": {"validate"},
    "run": {"cascade", "force", "grace-period", "pod-running-timeout", "quiet", "timeout", "wait"},  # go with --attach, --rm
}
"""Flags that KubeChat knows, but not for these verbs."""


@pytest.fixture(scope="module")
def flags_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Flags]:
    try:
        kubectl = build.find().path("kubectl")
    except build.ProgramsMissing as reason:
        unavailable(str(reason))
    home = tmp_path_factory.mktemp("home")
    with ThreadPoolExecutor(2) as pool:
        found = dict(
            zip([*VERBS, "options"], pool.map(lambda verb: _flags(kubectl, home, verb), [*VERBS, "options"]), strict=True)
        )
    return found.__getitem__


def _flags(kubectl: Path, home: Path, verb: str) -> Flags:
    words = [str(kubectl), *verb.split(), *([] if verb == "options" else ["--help"])]
    done = subprocess.run(words, capture_output=True, text=True, check=True, env={"HOME": str(home), "PATH": os.environ["PATH"]})
    lines = re.finditer(r"^\s+(?:-(\w), )?--([a-z0-9-]+)=(.*?):$", done.stdout, re.MULTILINE)
    return {name: (letter, default) for letter, name, default in (line.groups() for line in lines)}


def _rows() -> list[Verb]:
    return list(VERBS.values())


def test_every_allowed_flag_is_one_of_kubectls_with_the_same_letter(flags_of: Callable[[str], Flags]) -> None:
    for verb in _rows():
        theirs = flags_of("options") | flags_of(verb.name)
        ours = {flag.name: flag.short for flag in verb.flags if flag.name not in OLDER.get(verb.name, ())}
        assert ours == {name: theirs[name][0] for name in ours if name in theirs}, verb.name


def test_switches_are_switches_with_the_same_default(flags_of: Callable[[str], Flags]) -> None:
    for verb in _rows():
        for flag in verb.flags:
            _, default = flags_of(verb.name).get(flag.name, (None, ""))
            if default in {"true", "false"} or flag.form in {None, "bool"}:
                assert flag.form in {None, "bool"}, (verb.name, flag)
                assert flag.bare == "true"
            if flag.form is None:
                assert default == "false", (verb.name, flag)  # a switch that is off unless given


def test_every_flag_of_kubectl_is_allowed_refused_with_a_reason_or_left_out_on_purpose(flags_of: Callable[[str], Flags]) -> None:
    for verb in _rows():
        known = {flag.name for flag in verb.flags} | REFUSED_FLAGS.keys() | LEFT_OUT
        unknown = flags_of(verb.name).keys() - known
        assert unknown == NOT_HERE.get(verb.name, set()), verb.name


def test_every_global_flag_of_kubectl_is_decided(flags_of: Callable[[str], Flags]) -> None:
    known = {flag.name for flag in GLOBAL_FLAGS} | REFUSED_FLAGS.keys() | LEFT_OUT
    assert flags_of("options").keys() - known == set()
