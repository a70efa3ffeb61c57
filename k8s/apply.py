"""Manifests → requests: server-side apply, and create."""

import asyncio
from collections.abc import Mapping
from typing import Any

from k8s.change import Change
from k8s.client import ClusterClient, type_of_patch
from k8s.discovery import ApiResource, resolve_object
from k8s.errors import ApiError, CommandInvalid
from k8s.live import Found, ref_of
from k8s.manifests import ManifestBroken, read_manifest
from k8s.types import Command, ObjectRef


async def documents(client: ClusterClient, command: Command) -> list[Found]:
    """The objects of the command's manifest, each with its resource and namespace. Raises CommandInvalid."""
    try:
        values = await asyncio.to_thread(read_manifest, command.manifest or "")
    except ManifestBroken as error:
        raise CommandInvalid(str(error)) from error
    resources = await asyncio.gather(*(resolve_object(client, value["apiVersion"], value["kind"]) for value in values))
    return [Found(resource, _placed(client, command, resource, value)) for resource, value in zip(resources, values, strict=True)]


def _placed(client: ClusterClient, command: Command, resource: ApiResource, value: dict[str, Any]) -> dict[str, Any]:
    """The object with its namespace written out, by kubectl's rule: a manifest's own must not differ from -n."""
    metadata = {key: item for key, item in value["metadata"].items() if key != "managedFields"}
    own = metadata.get("namespace")
    if not resource.namespaced:
        if own:
            raise CommandInvalid(f"A {resource.kind} has no namespace: remove {own!r} from {metadata.get('name')}.")
        return {**value, "metadata": metadata}
    if own and command.namespace and own != command.namespace:
        raise CommandInvalid(
            f"The namespace of {resource.display}/{metadata.get('name')} is {own} and -n says {command.namespace}: leave one out."
        )
    return {**value, "metadata": {**metadata, "namespace": own or command.namespace or client.namespace}}


async def plan_apply(client: ClusterClient, command: Command) -> list[Change]:
    """A server-side apply for each object of the manifest."""
    found = await documents(client, command)
    if nameless := next((each for each in found if not each.value["metadata"].get("name")), None):
        raise CommandInvalid(f"A {nameless.resource.kind} has generateName only: apply needs metadata.name, create does not.")
    live = await asyncio.gather(*(live_or_none(client, each) for each in found))
    return [_apply(command, each, before) for each, before in zip(found, live, strict=True)]


async def live_or_none(client: ClusterClient, found: Found) -> dict[str, Any] | None:
    """The object as it is in the cluster."""
    try:
        return await client.get(found.path())
    except ApiError as error:
        if error.status != 404:
            raise
        if not error.details.get("name"):  # the version itself is not served
            raise CommandInvalid(f"This cluster does not serve {found.resource.kind} in {found.resource.api_version}.") from error
        return None


def _apply(command: Command, found: Found, before: dict[str, Any] | None) -> Change:
    target = ref_of(found.resource, before) if before else ObjectRef(found.resource.word, found.namespace, found.name)
    return Change(
        method="PATCH",
        path=found.path(),
        target=target,
        done=f"{found.display} serverside-applied",
        query=(("force", "true" if command.has("force-conflicts") else "false"),),
        body=_expecting(found.value, before),
        content_type=type_of_patch["apply"],
        before=before,
        display=found.display,
    )


def _expecting(value: Mapping[str, Any], before: Mapping[str, Any] | None) -> dict[str, Any]:
    """The manifest, bound to the object seen by its UID, so that it cannot land on another of the same name."""
    metadata = dict(value["metadata"])
    if before is not None:
        metadata["uid"] = before["metadata"]["uid"]
    return {**value, "metadata": metadata}


async def plan_create(client: ClusterClient, command: Command) -> list[Change]:
    """A POST for each object of the manifest; the server refuses one that exists."""
    changes = []
    for found in await documents(client, command):
        name = found.value["metadata"].get("name") or ""
        target = ObjectRef(found.resource.word, found.namespace, name)
        display = f"{found.resource.display}/{name or found.value['metadata']['generateName']}"
        path = found.resource.path(found.namespace)
        changes.append(Change("POST", path, target, f"{display} created", body=found.value, display=display))
    return changes


async def plan_replace(client: ClusterClient, command: Command) -> list[Change]:
    """A PUT for each object of the manifest, all of which must be there, as they were when seen."""
    if command.has("force"):
        raise CommandInvalid("--force deletes the object and makes it anew: say `delete`, and then `create`.")
    if command.has("save-config"):
        raise CommandInvalid(
            "--save-config is for kubectl's own apply; KubeChat applies on the server and needs none: leave it out."
        )
    changes = []
    for found in await documents(client, command):
        if not found.value["metadata"].get("name"):
            raise CommandInvalid(f"A {found.resource.kind} has generateName only: replace needs metadata.name.")
        before = await client.get(found.path())
        seen = {key: before["metadata"][key] for key in ("uid", "resourceVersion")}
        body = {**found.value, "metadata": {**seen, **found.value["metadata"]}}
        target, path = ref_of(found.resource, before), found.path(command.flag("subresource"))
        done = f"{found.display} replaced"
        changes.append(Change("PUT", path, target, done, body=body, before=before, display=found.display))
    return changes
