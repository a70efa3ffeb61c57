"""A person's kubeconfig, checked when it is mapped: an address and credentials, and nothing that acts on the bot's host."""

import base64
import binascii
import ipaddress
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

import yaml

from k8s.client import Endpoint
from k8s.redact import clean_line

MAX_BYTES = 256 * 1024
MAX_DEPTH = 12


class KubeconfigRefused(ValueError):
    """A kubeconfig that may not be mapped. The message is a sentence that names the field and says what to do."""


@dataclass(frozen=True, slots=True)
class Kubeconfig:
    """What is left of a kubeconfig once checked: one cluster, one user, one namespace."""

    endpoint: Endpoint
    namespace: str = "default"
    context: str = ""
    token: str = field(default="", repr=False)


_REFUSED = {
    "exec": "it starts a program on the bot's host",
    "auth-provider": "it starts a plugin on the bot's host",
    "certificate-authority": "it names a file of the bot's host; put the content into certificate-authority-data",
    "client-certificate": "it names a file of the bot's host; put the content into client-certificate-data",
    "client-key": "it names a file of the bot's host; put the content into client-key-data",
    "tokenFile": "it names a file of the bot's host; put the token into token",
    "proxy-url": "it sends the traffic to another host; a proxy is set in KubeChat's own settings",
    "insecure-skip-tls-verify": "anyone on the way could read along; put the cluster's authority into certificate-authority-data",
    "as": "it acts as someone else; map an impersonated user instead",
    "as-uid": "it acts as someone else; map an impersonated user instead",
    "as-groups": "it acts as someone else; map an impersonated user instead",
    "as-user-extra": "it acts as someone else; map an impersonated user instead",
    "username": "Kubernetes dropped login by password in 1.19; use a token or a client certificate",
    "password": "Kubernetes dropped login by password in 1.19; use a token or a client certificate",
}
_CLUSTER_FIELDS = frozenset({"server", "certificate-authority-data", "tls-server-name", "disable-compression", "extensions"})
_USER_FIELDS = frozenset({"token", "client-certificate-data", "client-key-data", "extensions"})
_CONTEXT_FIELDS = frozenset({"cluster", "user", "namespace", "extensions"})


def check_kubeconfig(text: str, *, context: str | None = None) -> Kubeconfig:
    """What the chosen context holds, if it is fit to be mapped. Raises KubeconfigRefused.

    Without `context` the current one is taken, or the only one. `tls-server-name` is allowed: the name is still verified against
    the authority that the same file names, so it gives no more than that file gives anyway.
    """
    config = _load(text)
    chosen = _choose_context(config, context)
    part = _entry(config, "contexts", "context", chosen)
    _check_fields(part, f"contexts[{chosen}]", _CONTEXT_FIELDS)
    cluster_name, user_name = _text(part, "cluster", f"contexts[{chosen}]"), _text(part, "user", f"contexts[{chosen}]")
    if not cluster_name or not user_name:
        raise KubeconfigRefused(f"contexts[{chosen}] names no cluster or no user: a context needs both.")
    cluster = _entry(config, "clusters", "cluster", cluster_name)
    user = _entry(config, "users", "user", user_name)
    _check_fields(cluster, f"clusters[{cluster_name}]", _CLUSTER_FIELDS)
    _check_fields(user, f"users[{user_name}]", _USER_FIELDS)
    endpoint = Endpoint(
        server=_server(cluster, f"clusters[{cluster_name}]"),
        authority=_pem(cluster, "certificate-authority-data", f"clusters[{cluster_name}]"),
        tls_server_name=_text(cluster, "tls-server-name", f"clusters[{cluster_name}]"),
        client_certificate=_pem(user, "client-certificate-data", f"users[{user_name}]"),
        client_key=_pem(user, "client-key-data", f"users[{user_name}]"),
    )
    token = _token(user, f"users[{user_name}]")
    _check_certificates(endpoint, cluster_name, user_name)
    if not token and not endpoint.client_certificate:
        raise KubeconfigRefused(
            f"users[{user_name}] has no credentials: give a token, or client-certificate-data with client-key-data."
        )
    return Kubeconfig(endpoint, _text(part, "namespace", f"contexts[{chosen}]") or "default", chosen, token)


def _load(text: str) -> Mapping[str, Any]:
    if len(text.encode("utf-8", "replace")) > MAX_BYTES:
        raise KubeconfigRefused(f"The kubeconfig is larger than {MAX_BYTES // 1024} KiB: keep the one context that is needed.")
    try:
        _refuse_tricks(text)
        config = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        if isinstance(error, KubeconfigRefused):
            raise
        raise KubeconfigRefused(
            "The kubeconfig is not valid YAML: export it again with `kubectl config view --raw --minify --flatten`."
        ) from error
    if not isinstance(config, dict):
        raise KubeconfigRefused("This is not a kubeconfig: it should hold clusters, users and contexts.")
    return config


def _refuse_tricks(text: str) -> None:
    """No aliases (a few lines of them expand to gigabytes), no second document, no deep nesting."""
    depth = documents = 0
    for event in yaml.parse(text, Loader=yaml.CSafeLoader):
        match event:
            case yaml.AliasEvent():
                raise KubeconfigRefused("The kubeconfig uses YAML aliases (`*name`): write the values out.")
            case yaml.DocumentStartEvent():
                documents += 1
            case yaml.MappingStartEvent() | yaml.SequenceStartEvent():
                depth += 1
            case yaml.MappingEndEvent() | yaml.SequenceEndEvent():
                depth -= 1
        if depth > MAX_DEPTH or documents > 1:
            raise KubeconfigRefused("The kubeconfig is nested too deeply or holds several documents: keep one plain document.")


def _choose_context(config: Mapping[str, Any], wanted: str | None) -> str:
    names = [str(entry.get("name")) for entry in _entries(config, "contexts")]
    current = config.get("current-context")
    if wanted is not None:
        if wanted not in names:
            raise KubeconfigRefused(f"The kubeconfig has no context {clean_line(wanted)!r}; it has: {_listed(names)}.")
        return wanted
    if isinstance(current, str) and current:
        return current
    if len(names) != 1:
        what = f"several contexts ({_listed(names)})" if names else "no context"
        raise KubeconfigRefused(f"The kubeconfig has {what} and no current-context: choose one with current-context.")
    return names[0]


def _listed(names: list[str]) -> str:
    return ", ".join(clean_line(name) for name in names[:10]) or "none"


def _entries(config: Mapping[str, Any], section: str) -> list[Mapping[str, Any]]:
    entries = config.get(section)
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise KubeconfigRefused(
            f"The kubeconfig has no list of {section}: export it with `kubectl config view --raw --minify --flatten`."
        )
    return entries


def _entry(config: Mapping[str, Any], section: str, key: str, name: str) -> Mapping[str, Any]:
    found = [entry for entry in _entries(config, section) if entry.get("name") == name]
    if len(found) != 1 or not isinstance(found[0].get(key), dict):
        how_many = "no" if not found else "no usable or more than one"
        raise KubeconfigRefused(f"The kubeconfig has {how_many} entry {clean_line(name)!r} in {section}.")
    entry: Mapping[str, Any] = found[0][key]
    return entry


def _check_fields(part: Mapping[str, Any], where: str, allowed: frozenset[str]) -> None:
    where = clean_line(where)
    for name, value in part.items():
        if name in _REFUSED and value not in (None, "", False):
            raise KubeconfigRefused(f"{where}.{name} is refused: {_REFUSED[name]}.")
        if name not in allowed and name not in _REFUSED:
            raise KubeconfigRefused(f"{where}.{clean_line(str(name))} is not a field that KubeChat knows: remove it.")


def _text(part: Mapping[str, Any], name: str, where: str) -> str:
    value = part.get(name)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise KubeconfigRefused(f"{clean_line(where)}.{name} should be a text.")
    return value


def _server(cluster: Mapping[str, Any], where: str) -> str:
    server = _text(cluster, "server", where)
    where = clean_line(where)
    try:
        parts = urlsplit(server)
        host, _ = parts.hostname or "", parts.port
    except ValueError as error:
        raise KubeconfigRefused(f"{where}.server is not an address: it should look like https://host:6443.") from error
    if parts.scheme not in {"https", "http"} or not host or parts.query or parts.fragment:
        raise KubeconfigRefused(f"{where}.server is not an address: it should look like https://host:6443.")
    if parts.username is not None or parts.password is not None:
        raise KubeconfigRefused(f"{where}.server holds a login: put credentials under users.")
    if parts.scheme == "http" and not _is_loopback(host):
        raise KubeconfigRefused(f"{where}.server uses http, so credentials would travel in the open: use https.")
    return server


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _pem(part: Mapping[str, Any], name: str, where: str) -> str:
    encoded = _text(part, name, where)
    if not encoded:
        return ""
    try:
        text = base64.b64decode(encoded, validate=True).decode("ascii")
    except (binascii.Error, UnicodeDecodeError, ValueError) as error:
        raise KubeconfigRefused(
            f"{clean_line(where)}.{name} is not base64 of a PEM text: export it with `kubectl config view --raw --flatten`."
        ) from error
    if "-----BEGIN " not in text:
        raise KubeconfigRefused(f"{clean_line(where)}.{name} is not a PEM text: it should begin with -----BEGIN.")
    return text


def _check_certificates(endpoint: Endpoint, cluster_name: str, user_name: str) -> None:
    """Certificates and key must be readable, and belong together: better said now than at the first command."""
    # A slow import, for mapping only.
    from cryptography import x509
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    where = f"clusters[{cluster_name}].certificate-authority-data"
    try:
        if endpoint.authority:
            x509.load_pem_x509_certificates(endpoint.authority.encode())
        if not (endpoint.client_certificate or endpoint.client_key):
            return
        where = f"users[{user_name}].client-certificate-data"
        certificates = x509.load_pem_x509_certificates(endpoint.client_certificate.encode())
        where = f"users[{user_name}].client-key-data"
        key = load_pem_private_key(endpoint.client_key.encode(), password=None)
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise KubeconfigRefused(f"{clean_line(where)} cannot be read: it should be a PEM text without a password.") from error
    if certificates[0].public_key() != key.public_key():
        raise KubeconfigRefused(
            f"users[{clean_line(user_name)}] has a client-key-data that is not of its client-certificate-data."
        )


def _token(user: Mapping[str, Any], where: str) -> str:
    token = _text(user, "token", where).strip()
    if not all("!" <= character <= "~" for character in token):
        raise KubeconfigRefused(f"{clean_line(where)}.token holds spaces or characters that no token has.")
    return token
