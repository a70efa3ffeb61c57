"""`kubechat users`: accounts, their clusters and roles. Every change is in the audit log."""

import getpass
import json
from typing import Any

import click

from adapters.text import one_line
from audit.rows import Actor
from bot import identity
from bot.identity import ImpersonationMapping, KubeconfigMapping, Mapping, ServiceAccountMapping
from bot.main.parts import Parts, parts, store
from bot.settings import load_settings
from bot.types import User
from k8s.access import ClusterAccess, whoami
from k8s.errors import ClusterError, explain


def _administrator() -> Actor:
    return Actor("cli", "local", getpass.getuser())


def _account(text: str) -> User:
    pieces = text.split("/")
    if len(pieces) != 3 or not all(pieces):
        raise click.UsageError(f"{text!r} is no account: write PLATFORM/WORKSPACE/ID, as `who am I` shows it.")
    return User(*pieces)


def _mapping(given: dict[str, Any]) -> Mapping | None:
    """The one mapping that the options describe; None when only person or roles are set."""
    ways = [name for name in ("kubeconfig", "service_account", "impersonate") if given[name]]
    if len(ways) > 1:
        raise click.UsageError("Give one of --kubeconfig, --service-account and --impersonate.")
    if not ways:
        if given["cluster"]:
            raise click.UsageError("How? Give --kubeconfig, --service-account or --impersonate with --cluster.")
        return None
    if not given["cluster"]:
        raise click.UsageError("Which cluster? Give --cluster NAME.")
    if ways == ["kubeconfig"]:
        return KubeconfigMapping(given["kubeconfig"].read(), given["context"])
    if ways == ["impersonate"]:
        return ImpersonationMapping(given["impersonate"], tuple(given["groups"]))
    namespace, slash, name = given["service_account"].partition("/")
    if not (namespace and slash and name):
        raise click.UsageError("--service-account is NAMESPACE/NAME.")
    return ServiceAccountMapping(namespace, name)


async def add_user(**given: Any) -> int:
    """Map an account; the cluster is asked first who the credentials belong to."""
    user, mapping = _account(given["account"]), _mapping(given)
    async with parts(load_settings()) as running:
        if given["person"] or given["roles"] or mapping is None:
            account = await identity.add_account(running.database, user.key, given["person"], given["roles"] or None)
            payload = {"account": user.key, "person": account.person, "roles": sorted(account.roles)}
            await running.audit.append("account.changed", _administrator(), payload)
            click.echo(f"{user.key} is {account.person}, roles: {', '.join(sorted(account.roles)) or 'none'}")
            if given["person"]:
                click.echo(await _same_person(running, user, account.person))
        if mapping is not None:
            await _map(running, user, mapping, given)
    return 0


async def _same_person(running: Parts, user: User, person: str) -> str:
    """Said at once, since a name mistyped here would let somebody approve their own request."""
    found = {account.user_key for account, _ in await identity.list_access(running.database) if account.person == person}
    others = sorted(found - {user.key})
    return f"The same person: {', '.join(others)}" if others else f"No other account is {person} yet."


async def _map(running: Parts, user: User, mapping: Mapping, given: dict[str, Any]) -> None:
    cluster = given["cluster"]
    access = await identity.access_of(running.settings, cluster, mapping)
    who = None if given["untested"] else await _ask(running, access)
    await running.audit.append(
        "access.mapped", _administrator(), {"account": user.key, "cluster": cluster, "identity": who or access.identity}
    )
    await identity.map_user(running.database, user.key, cluster, mapping, identity=who, namespace=given["namespace"])
    click.echo(f"{user.key} now reaches {cluster} as {who or access.identity}")


async def _ask(running: Parts, access: ClusterAccess) -> str:
    async with running.pool.client(access) as client:
        return (await whoami(client)).user


async def list_users(*, as_json: bool) -> int:
    """Print accounts and their access."""
    async with store(load_settings()) as (database, _):
        found = await identity.list_access(database)
    told = ""
    for account, row in found:
        where = (row.cluster, row.identity, row.kind, row.namespace) if row else ("", "", "", "")
        roles = sorted(account.roles)
        if as_json:
            names = ("cluster", "identity", "by", "namespace")
            said = {"account": account.user_key, "person": account.person, "roles": roles}
            click.echo(json.dumps(said | dict(zip(names, where, strict=True))))
            continue
        if account.user_key != told:
            told = account.user_key
            click.echo(one_line(f"{told}  person: {account.person}  roles: {', '.join(roles) or 'none'}"))
        click.echo(one_line("    {} as {}, by {}, namespace {}".format(*where)) if row else "    no cluster yet")
    if not found and not as_json:
        click.echo("No accounts yet. Add one with `kubechat users add --help`.")
    return 0


async def test_user(account: str, cluster: str | None, *, as_json: bool) -> int:
    """Connect with each mapping. Returns 1 when one of them does not work."""
    user = _account(account)
    async with parts(load_settings()) as running:
        rows = [
            row for _, row in await identity.list_access(running.database, user.key) if row and cluster in (None, row.cluster)
        ]
        if not rows:
            raise identity.UnmappedUser(user.key, cluster or "", ())
        failed = False
        for row in rows:
            access = await identity.access_for(running.database, running.settings, user, row.cluster)
            try:
                said, works = f"reached as {await _ask(running, access)}", True
            except ClusterError as error:
                said, works = explain(error), False
            failed |= not works
            if as_json:
                click.echo(json.dumps({"account": user.key, "cluster": row.cluster, "works": works, "said": said}))
            else:
                click.echo(f"{'✓' if works else '✗'} {row.cluster}: {said}")
    return int(failed)


async def remove_user(account: str, cluster: str | None) -> int:
    """Take access away; it counts from the next message on."""
    user = _account(account)
    async with store(load_settings()) as (database, audit):
        await audit.append("access.removed", _administrator(), {"account": user.key, "cluster": cluster or "all"})
        gone = await identity.unmap_user(database, user.key, cluster)
    click.echo(f"Removed {user.key}{f' from {cluster}' if cluster else ''}." if gone else f"{user.key} had no such access.")
    return 0 if gone else 1
