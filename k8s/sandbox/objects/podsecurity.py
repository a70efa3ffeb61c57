"""Pod Security admission: the baseline and restricted standards that a namespace's labels ask for.

After k8s.io/pod-security-admission; AppArmor, SELinux, sysctls, procMount and Windows are not looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from k8s.sandbox.objects.errors import Json

PREFIX = "pod-security.kubernetes.io/"
DEFAULT_CAPABILITIES = frozenset(
    (
        "AUDIT_WRITE", "CHOWN", "DAC_OVERRIDE", "FOWNER", "FSETID", "KILL", "MKNOD", "NET_BIND_SERVICE", "SETFCAP",
        "SETGID", "SETPCAP", "SETUID", "SYS_CHROOT",
    )
)  # fmt: skip
ALLOWED_VOLUMES: tuple[str, ...] = (
    "configMap",
    "downwardAPI",
    "emptyDir",
    "projected",
    "secret",
    "csi",
    "persistentVolumeClaim",
    "ephemeral",
    "image",
)
Finding = tuple[str, str]  # the standard's rule, and what breaks it


def violations(labels: Json, mode: str, spec: Json) -> str:
    """How a pod breaks the level that a namespace's labels ask for in a mode (enforce, warn); an empty text if it does not."""
    level = labels.get(f"{PREFIX}{mode}", "privileged")
    version = labels.get(f"{PREFIX}{mode}-version", "latest")
    found = [one for check in _CHECKS.get(level, ()) for one in check(spec)]
    if not found:
        return ""
    shown = ", ".join(f"{rule} ({detail})" for rule, detail in found)
    return f'violate PodSecurity "{level}:{version}": {shown}'


def _containers(spec: Json) -> list[Json]:
    return [*(spec.get("initContainers") or ()), *(spec.get("containers") or ())]


def _context(one: Json) -> Json:
    found: Json = one.get("securityContext") or {}
    return found


def _quoted(names: list[str]) -> str:
    return ", ".join(f'"{name}"' for name in names)


def _named(kind: str, names: list[str]) -> str:
    return f"{kind}{'' if len(names) == 1 else 's'} {_quoted(names)}"


def _broken(spec: Json, fits: Callable[[Json], bool]) -> list[str]:
    return [one["name"] for one in _containers(spec) if not fits(one)]


def _host_namespaces(spec: Json) -> Iterator[Finding]:
    shared = [f"{name}=true" for name in ("hostNetwork", "hostPID", "hostIPC") if spec.get(name)]
    if shared:
        yield "host namespaces", ", ".join(shared)


def _privileged(spec: Json) -> Iterator[Finding]:
    bad = _broken(spec, lambda one: not _context(one).get("privileged"))
    if bad:
        yield "privileged", f"{_named('container', bad)} must not set securityContext.privileged=true"


def _host_paths(spec: Json) -> Iterator[Finding]:
    bad = [one["name"] for one in spec.get("volumes") or () if "hostPath" in one]
    if bad:
        yield "hostPath volumes", _named("volume", bad)


def _host_ports(spec: Json) -> Iterator[Finding]:
    bad = _broken(spec, lambda one: not any(port.get("hostPort") for port in one.get("ports") or ()))
    ports = sorted({port["hostPort"] for one in _containers(spec) for port in one.get("ports") or () if port.get("hostPort")})
    if bad:
        listed = ", ".join(str(port) for port in ports)
        yield "hostPort", f"{_named('container', bad)} {_verb(bad)} hostPort{'' if len(ports) == 1 else 's'} {listed}"


def _verb(names: list[str]) -> str:
    return "uses" if len(names) == 1 else "use"


def _added(one: Json, allowed: frozenset[str]) -> list[str]:
    listed = (_context(one).get("capabilities") or {}).get("add") or ()
    return [name for name in listed if name not in allowed]


def _adds(spec: Json, allowed: frozenset[str]) -> tuple[list[str], list[str]]:
    bad = _broken(spec, lambda one: not _added(one, allowed))
    return bad, sorted({name for one in _containers(spec) for name in _added(one, allowed)})


def _must_not_add(containers: list[str], names: list[str]) -> str:
    return f"{_named('container', containers)} must not include {_quoted(names)} in securityContext.capabilities.add"


def _capabilities(spec: Json) -> Iterator[Finding]:
    bad, names = _adds(spec, DEFAULT_CAPABILITIES)
    if bad:
        yield (
            "non-default capabilities",
            f"{_named('container', bad)} must not include {_quoted(names)} in securityContext.capabilities.add",
        )


def _few_capabilities(spec: Json) -> Iterator[Finding]:
    told = []
    lacking = _broken(spec, lambda one: "ALL" in ((_context(one).get("capabilities") or {}).get("drop") or ()))
    if lacking:
        told.append(f'{_named("container", lacking)} must set securityContext.capabilities.drop=["ALL"]')
    bad, names = _adds(spec, frozenset(("NET_BIND_SERVICE",)))
    if bad:
        told.append(_must_not_add(bad, names))
    if told:
        yield "unrestricted capabilities", "; ".join(told)


def _escalation(spec: Json) -> Iterator[Finding]:
    bad = _broken(spec, lambda one: _context(one).get("allowPrivilegeEscalation") is False)
    if bad:
        yield (
            "allowPrivilegeEscalation != false",
            f"{_named('container', bad)} must set securityContext.allowPrivilegeEscalation=false",
        )


def _volumes(spec: Json) -> Iterator[Finding]:
    bad, kinds = [], []
    for one in spec.get("volumes") or ():
        kind = next((name for name in one if name != "name"), "unknown")
        if kind not in ALLOWED_VOLUMES:
            bad.append(one["name"])
            kinds.append(kind)
    if bad:
        types = sorted(set(kinds))
        word = f"restricted volume type{'' if len(types) == 1 else 's'}"
        yield "restricted volume types", f"{_named('volume', bad)} {_verb(bad)} {word} {_quoted(types)}"


def _setters(spec: Json, bad: Callable[[Any], bool], field: str) -> str:
    """`pod and container "a"`: who sets a field to what it must not be."""
    told = ["pod"] if bad(_context(spec).get(field)) else []
    names = [one["name"] for one in _containers(spec) if bad(_context(one).get(field))]
    return " and ".join([*told, *([_named("container", names)] if names else [])])


def _unset(spec: Json, field: str) -> list[str]:
    if _context(spec).get(field) is not None:
        return []
    return [one["name"] for one in _containers(spec) if _context(one).get(field) is None]


def _non_root(spec: Json) -> Iterator[Finding]:
    setters = _setters(spec, lambda value: value is False, "runAsNonRoot")
    missing = _unset(spec, "runAsNonRoot")
    if setters:
        yield "runAsNonRoot != true", f"{setters} must not set securityContext.runAsNonRoot=false"
    elif missing:
        yield "runAsNonRoot != true", f"pod or {_named('container', missing)} must set securityContext.runAsNonRoot=true"


def _user(spec: Json) -> Iterator[Finding]:
    setters = _setters(spec, lambda value: value == 0 and value is not None, "runAsUser")
    if setters:
        yield "runAsUser=0", f"{setters} must not set runAsUser=0"


def _unconfined(value: Any) -> bool:
    return value is not None and value.get("type") not in ("RuntimeDefault", "Localhost")


def _seccomp(spec: Json) -> Iterator[Finding]:
    setters = _setters(spec, _unconfined, "seccompProfile")
    missing = _unset(spec, "seccompProfile")
    if setters:
        yield "seccompProfile", f'{setters} must not set securityContext.seccompProfile.type to "Unconfined"'
    elif missing:
        wanted = '"RuntimeDefault" or "Localhost"'
        yield "seccompProfile", f"pod or {_named('container', missing)} must set securityContext.seccompProfile.type to {wanted}"


_BASELINE = (_capabilities, _host_namespaces, _host_paths, _host_ports, _privileged)
_RESTRICTED = (_escalation, _few_capabilities, _volumes, _non_root, _user, _seccomp)
# The restricted rules on capabilities and volumes take the place of the baseline ones.
_CHECKS: dict[str, tuple[Callable[[Json], Iterator[Finding]], ...]] = {
    "baseline": _BASELINE,
    "restricted": (_host_namespaces, _host_ports, _privileged, *_RESTRICTED),
}
