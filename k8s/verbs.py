"""The verb table: every kubectl verb, the flags that are allowed for it, and the verbs and flags that are refused with a reason.

It is an allow-list. A verb or a flag that is not here does not exist for KubeChat, so a flag of a future kubectl is refused
until somebody has thought about it. Flags follow `kubectl VERB --help` of 1.36; defaults are kubectl's.
"""

import re
from dataclasses import dataclass
from enum import Enum, StrEnum, auto


class Level(StrEnum):
    """How much care a command needs. Members are ordered from harmless to refused."""

    SAFE = "safe"
    WARNING = "warning"
    DANGEROUS = "dangerous"
    FORBIDDEN = "forbidden"

    @property
    def rank(self) -> int:
        """0 for safe to 3 for forbidden, so that levels can be compared."""
        return list(Level).index(self)


class Operands(Enum):
    """What may follow a verb besides flags."""

    NONE = auto()
    TARGETS = auto()  # TYPE[,TYPE…] [NAME…]  |  TYPE/NAME …
    PAIRS = auto()  # targets, then KEY=VALUE, KEY- …
    POD = auto()  # POD | TYPE/NAME, then perhaps a container, then perhaps -- COMMAND
    NODES = auto()  # node names
    NAME = auto()  # one name, then free operands (create …)
    FREE = auto()  # words that are neither types nor names


class Reach(Enum):
    """What a target-taking verb means when only a type is given."""

    ALL = auto()  # everything of the type, as `get pods`
    ASKED = auto()  # refused unless a name, a selector or --all is given, as `delete pods`


@dataclass(frozen=True, slots=True)
class Flag:
    """One allowed flag. `form` names a form in FORMS; a switch has none, and is off unless given.

    `bare` is what the flag means without a value. Such a flag takes one only after `=`, as in kubectl.
    """

    name: str
    short: str | None = None
    form: str | None = None
    repeated: bool = False
    bare: str | None = None


@dataclass(frozen=True, slots=True)
class Verb:
    """One row of the table. `level` is the verdict when no rule of k8s.safety says more."""

    name: str
    operands: Operands
    flags: tuple[Flag, ...]
    level: Level
    reach: Reach = Reach.ASKED
    manifest: bool = False  # takes -f - with a manifest from the message

    def find(self, name: str) -> Flag | None:
        """The flag of this long name."""
        return next((flag for flag in self.flags if flag.name == name), None)

    def find_short(self, letter: str) -> Flag | None:
        """The flag of this letter."""
        return next((flag for flag in self.flags if flag.short == letter), None)


FORMS: dict[str, tuple[re.Pattern[str], str]] = {
    "text": (re.compile(r".*", re.DOTALL), "text"),
    "word": (re.compile(r"[ -~]+"), "plain ASCII letters"),
    "count": (re.compile(r"0|[1-9]\d{0,8}"), "a whole number such as 3"),
    "int": (re.compile(r"-1|0|[1-9]\d{0,8}"), "a whole number such as 3, or -1"),
    "number": (re.compile(r"-?\d{1,10}"), "a whole number such as 1000"),
    "bool": (re.compile(r"true|false"), "true or false"),
    "duration": (re.compile(r"0|(\d{1,9}(\.\d{1,9})?(ns|us|ms|s|m|h))+"), "a duration such as 90s, 5m or 1h30m"),
    "namespace": (
        re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"),
        "a namespace name: lower-case letters, digits and -",
    ),
    "selector": (re.compile(r"[A-Za-z0-9_!][A-Za-z0-9_./ ,!=()<>-]*"), "a label selector such as app=shop,tier!=cache"),
    "fields": (re.compile(r"[A-Za-z][A-Za-z0-9_./ ,!={}:-]*"), "a field selector such as status.phase!=Running"),
    "output": (
        re.compile(r"json|yaml|name|wide|(jsonpath|jsonpath-as-json|custom-columns)=.+"),
        "wide, yaml, json, name, jsonpath=… or custom-columns=…",
    ),
    "dry-run": (re.compile(r"none|client|server"), "none, client or server"),
    "cascade": (re.compile(r"background|foreground|orphan"), "background, foreground or orphan"),
    "subresource": (re.compile(r"status|scale|resize"), "status, scale or resize"),
    "validate": (re.compile(r"true|false|strict|warn|ignore"), "strict, warn or ignore"),
    "patch-type": (re.compile(r"json|merge|strategic"), "json, merge or strategic"),
    "usage": (re.compile(r"cpu|memory"), "cpu or memory"),
    "time": (
        re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)"),
        "a time such as 2026-01-31T12:00:00Z",
    ),
}


def _flags(spec: str) -> tuple[Flag, ...]:
    """Read `name,short=form`, `name=form*` (repeated), `name?bare=form` (a value only after =) and `name` (a switch)."""
    flags = []
    for word in spec.split():
        head, _, form = word.partition("=")
        head, _, bare = head.partition("?")
        name, _, short = head.partition(",")
        repeated = form.endswith("*")
        flags.append(Flag(name, short or None, form.rstrip("*") or None, repeated, bare or (None if form else "true")))
    return tuple(flags)


_OUT = "output,o=output show-managed-fields"
_DRY = "dry-run?client=dry-run"
_PICK = "selector,l=selector all field-selector=fields"
_MAKE = f"{_OUT} {_DRY} save-config"
_CREATE = f"{_MAKE} validate?strict=validate"
_ROLLOUT = "selector,l=selector"

_ROWS: tuple[tuple[str, Operands, Level, str], ...] = (
    # reads
    ("get", Operands.TARGETS, Level.SAFE,
     "output,o=output show-managed-fields all-namespaces,A selector,l=selector field-selector=fields sort-by=word "
     "show-labels label-columns,L=word* watch,w watch-only chunk-size=count ignore-not-found no-headers show-kind "
     "subresource=subresource server-print?true=bool"),
    ("describe", Operands.TARGETS, Level.SAFE, "all-namespaces,A selector,l=selector show-events?true=bool chunk-size=count"),
    ("logs", Operands.POD, Level.SAFE,
     "container,c=word all-containers all-pods previous,p follow,f tail=int since=duration since-time=time timestamps "
     "selector,l=selector prefix limit-bytes=count max-log-requests=count ignore-errors pod-running-timeout=duration"),
    ("events", Operands.NONE, Level.SAFE,
     "for=word types=word all-namespaces,A watch,w no-headers chunk-size=count output,o=output"),
    ("top pods", Operands.TARGETS, Level.SAFE,
     "selector,l=selector field-selector=fields all-namespaces,A containers sort-by=usage no-headers sum"),
    ("top nodes", Operands.NODES, Level.SAFE, "selector,l=selector sort-by=usage no-headers show-capacity"),
    ("explain", Operands.FREE, Level.SAFE, "recursive,R api-version=word output,o=word"),
    ("api-resources", Operands.NONE, Level.SAFE,
     "api-group=word namespaced?true=bool verbs=word output,o=output sort-by=word no-headers cached categories=word"),
    ("api-versions", Operands.NONE, Level.SAFE, ""),
    ("version", Operands.NONE, Level.SAFE, "client output,o=output"),
    ("cluster-info", Operands.NONE, Level.SAFE, ""),
    ("config get-contexts", Operands.FREE, Level.SAFE, "no-headers output,o=output"),
    ("config current-context", Operands.NONE, Level.SAFE, ""),
    ("auth can-i", Operands.FREE, Level.SAFE, "list subresource=word all-namespaces,A quiet,q no-headers"),
    ("auth whoami", Operands.NONE, Level.SAFE, "output,o=output"),
    ("rollout status", Operands.TARGETS, Level.SAFE, f"{_ROLLOUT} watch,w?true=bool timeout=duration revision=count"),
    ("rollout history", Operands.TARGETS, Level.SAFE, f"{_ROLLOUT} revision=count output,o=output"),
    ("diff", Operands.NONE, Level.SAFE, "filename,f=text server-side force-conflicts show-managed-fields"),
    ("wait", Operands.TARGETS, Level.SAFE, f"for=word timeout=duration all-namespaces,A {_PICK} output,o=output"),
    # changes that can be taken back and interrupt nothing; k8s.safety raises some of them
    ("rollout restart", Operands.TARGETS, Level.WARNING, f"{_ROLLOUT} {_OUT}"),
    ("rollout undo", Operands.TARGETS, Level.WARNING, f"{_ROLLOUT} to-revision=count {_DRY} {_OUT}"),
    ("rollout pause", Operands.TARGETS, Level.WARNING, f"{_ROLLOUT} {_OUT}"),
    ("rollout resume", Operands.TARGETS, Level.WARNING, f"{_ROLLOUT} {_OUT}"),
    ("scale", Operands.TARGETS, Level.WARNING,
     f"replicas=count current-replicas=int resource-version=word timeout=duration selector,l=selector all {_DRY} {_OUT}"),
    ("autoscale", Operands.TARGETS, Level.WARNING,
     f"min=count max=count cpu-percent=count cpu=word memory=word name=word {_DRY} {_OUT}"),
    ("set image", Operands.PAIRS, Level.WARNING, f"selector,l=selector all {_DRY} {_OUT}"),
    ("set env", Operands.PAIRS, Level.WARNING,
     f"env,e=text* containers,c=word from=word keys=word prefix=word list resolve overwrite?true=bool selector,l=selector all "
     f"{_DRY} {_OUT}"),
    ("set resources", Operands.TARGETS, Level.WARNING,
     f"limits=word requests=word containers,c=word selector,l=selector all {_DRY} {_OUT}"),
    ("set selector", Operands.PAIRS, Level.WARNING, f"resource-version=word all {_DRY} {_OUT}"),
    ("set serviceaccount", Operands.PAIRS, Level.DANGEROUS, f"all {_DRY} {_OUT}"),
    ("set subject", Operands.TARGETS, Level.DANGEROUS,
     f"user=word* group=word* serviceaccount=word* selector,l=selector all {_DRY} {_OUT}"),
    ("label", Operands.PAIRS, Level.WARNING, f"overwrite list resource-version=word all-namespaces,A {_PICK} {_DRY} {_OUT}"),
    ("annotate", Operands.PAIRS, Level.WARNING, f"overwrite list resource-version=word all-namespaces,A {_PICK} {_DRY} {_OUT}"),
    ("taint", Operands.PAIRS, Level.WARNING, f"overwrite selector,l=selector all {_DRY} {_OUT}"),
    ("cordon", Operands.NODES, Level.WARNING, f"selector,l=selector {_DRY}"),
    ("uncordon", Operands.NODES, Level.WARNING, f"selector,l=selector {_DRY}"),
    ("patch", Operands.TARGETS, Level.WARNING, f"patch,p=text type=patch-type subresource=subresource {_DRY} {_OUT}"),
    ("apply", Operands.NONE, Level.WARNING,
     f"filename,f=text server-side force-conflicts force overwrite?true=bool wait timeout=duration grace-period=int "
     f"cascade?background=cascade validate?strict=validate {_DRY} {_OUT}"),
    ("replace", Operands.NONE, Level.WARNING,
     f"filename,f=text force grace-period=int cascade?background=cascade wait timeout=duration save-config "
     f"validate?strict=validate subresource=subresource {_DRY} {_OUT}"),
    ("create", Operands.NONE, Level.WARNING, f"filename,f=text selector,l=selector {_CREATE}"),
    ("create namespace", Operands.NAME, Level.WARNING, _CREATE),
    ("create configmap", Operands.NAME, Level.WARNING, f"from-literal=text* append-hash {_CREATE}"),
    ("create secret generic", Operands.NAME, Level.WARNING, f"from-literal=text* type=word append-hash {_CREATE}"),
    ("create secret docker-registry", Operands.NAME, Level.WARNING,
     f"docker-server=word docker-username=text docker-password=text docker-email=word append-hash {_CREATE}"),
    ("create deployment", Operands.NAME, Level.WARNING, f"image=word* replicas,r=count port=int {_CREATE}"),
    ("create job", Operands.NAME, Level.WARNING, f"image=word from=word {_CREATE}"),
    ("create cronjob", Operands.NAME, Level.WARNING, f"image=word schedule=word restart=word {_CREATE}"),
    ("create service clusterip", Operands.NAME, Level.WARNING, f"tcp=word* clusterip=word {_CREATE}"),
    ("create service nodeport", Operands.NAME, Level.WARNING, f"tcp=word* node-port=count {_CREATE}"),
    ("create service loadbalancer", Operands.NAME, Level.WARNING, f"tcp=word* {_CREATE}"),
    ("create service externalname", Operands.NAME, Level.WARNING, f"tcp=word* external-name=word {_CREATE}"),
    ("create ingress", Operands.NAME, Level.WARNING,
     f"class=word rule=word* annotation=text* default-backend=word {_CREATE}"),
    ("create quota", Operands.NAME, Level.WARNING, f"hard=word scopes=word {_CREATE}"),
    ("create poddisruptionbudget", Operands.NAME, Level.WARNING,
     f"selector=selector min-available=word max-unavailable=word {_CREATE}"),
    ("create priorityclass", Operands.NAME, Level.WARNING,
     f"value=number description=text global-default?true=bool preemption-policy=word {_CREATE}"),
    ("create serviceaccount", Operands.NAME, Level.WARNING, _CREATE),
    ("create role", Operands.NAME, Level.DANGEROUS, f"verb=word* resource=word* resource-name=word* {_CREATE}"),
    ("create clusterrole", Operands.NAME, Level.DANGEROUS,
     f"verb=word* resource=word* resource-name=word* non-resource-url=word* aggregation-rule=word {_CREATE}"),
    ("create rolebinding", Operands.NAME, Level.DANGEROUS,
     f"clusterrole=word role=word user=word* group=word* serviceaccount=word* {_CREATE}"),
    ("create clusterrolebinding", Operands.NAME, Level.DANGEROUS,
     f"clusterrole=word user=word* group=word* serviceaccount=word* {_CREATE}"),
    ("run", Operands.NAME, Level.WARNING,
     f"image=word env=text* port=int labels,l=word annotations=text* restart=word expose command image-pull-policy=word "
     f"privileged overrides=text override-type=patch-type {_MAKE}"),
    ("expose", Operands.TARGETS, Level.WARNING,
     f"port=word target-port=word name=word type=word protocol=word selector=selector labels,l=word cluster-ip=word "
     f"external-ip=word load-balancer-ip=word session-affinity=word overrides=text override-type=patch-type {_DRY} {_OUT}"),
    # what destroys or interrupts
    ("delete", Operands.TARGETS, Level.DANGEROUS,
     f"filename,f=text all-namespaces,A {_PICK} grace-period=int cascade?background=cascade force now ignore-not-found "
     f"wait?true=bool timeout=duration output,o=output {_DRY}"),
    ("drain", Operands.NODES, Level.DANGEROUS,
     f"ignore-daemonsets delete-emptydir-data force grace-period=int timeout=duration pod-selector=selector "
     f"selector,l=selector disable-eviction skip-wait-for-delete-timeout=count chunk-size=count {_DRY}"),
    ("exec", Operands.POD, Level.DANGEROUS, "container,c=word quiet,q pod-running-timeout=duration"),
)  # fmt: skip

_REACHES_ALL = frozenset(
    {"get", "describe", "top pods", "rollout status", "rollout history", "rollout restart", "rollout undo",
     "rollout pause", "rollout resume"}
)  # fmt: skip
_TAKES_MANIFEST = frozenset({"apply", "create", "replace", "delete", "diff"})

_NAMESPACE = Flag("namespace", "n", "namespace")
_TIMEOUT = Flag("request-timeout", None, "duration")

VERBS: dict[str, Verb] = {
    name: Verb(
        name=name,
        operands=operands,
        flags=(_NAMESPACE, _TIMEOUT, *_flags(spec)),
        level=level,
        reach=Reach.ALL if name in _REACHES_ALL else Reach.ASKED,
        manifest=name in _TAKES_MANIFEST,
    )
    for name, operands, level, spec in _ROWS
}

GLOBAL_FLAGS = (_NAMESPACE, _TIMEOUT)
"""What may stand before the verb."""

SAME_VERB = {
    "create ns": "create namespace",
    "create cm": "create configmap",
    "create deploy": "create deployment",
    "create cj": "create cronjob",
    "create ing": "create ingress",
    "create resourcequota": "create quota",
    "create pdb": "create poddisruptionbudget",
    "create pc": "create priorityclass",
    "create sa": "create serviceaccount",
    "create svc clusterip": "create service clusterip",
    "create svc nodeport": "create service nodeport",
    "create svc loadbalancer": "create service loadbalancer",
    "create svc externalname": "create service externalname",
    "set sa": "set serviceaccount",
    "top pod": "top pods",
    "top po": "top pods",
    "top node": "top nodes",
    "top no": "top nodes",
}
"""kubectl's own aliases of verbs."""


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why something is never allowed, and what to do instead."""

    rule: str
    reason: str


_INTERACTIVE = "needs a terminal that stays open, and a chat has none"
_FILES = "reads or writes files of the machine KubeChat runs on"

REFUSED_VERBS: dict[str, Refusal] = {
    "edit": Refusal("interactive", f"`edit` {_INTERACTIVE}. Use `set`, `patch`, or `apply` with the manifest in a code block."),
    "attach": Refusal("interactive", f"`attach` {_INTERACTIVE}. Use `logs`."),
    "debug": Refusal("interactive", f"`debug` {_INTERACTIVE}. Use `describe`, `logs`, or `exec POD -- COMMAND`."),
    "port-forward": Refusal("proxying", "`port-forward` opens a tunnel into the cluster. Run it from your own machine."),
    "proxy": Refusal(
        "proxying", "`proxy` opens the API server to everyone who can reach KubeChat. Run it from your own machine."
    ),
    "cp": Refusal("host-file", f"`cp` {_FILES}. Use `exec POD -- cat FILE` for a small text file."),
    "kustomize": Refusal("host-file", f"`kustomize` {_FILES}. Build it in your pipeline and apply the result."),
    "plugin": Refusal("plugin", "plugins are programs, and KubeChat runs none."),
    "krew": Refusal("plugin", "plugins are programs, and KubeChat runs none."),
    "certificate": Refusal("identity", "approving or denying certificates makes identities. Do it from your own machine."),
    "create token": Refusal("identity", "`create token` prints a credential, and a chat is no place for one."),
    "create secret tls": Refusal("host-file", f"`create secret tls` {_FILES}. Apply the Secret from your secret store."),
    "auth reconcile": Refusal("identity", "`auth reconcile` rewrites Roles and Bindings from a file. Apply them one by one."),
    "cluster-info dump": Refusal("host-file", "`cluster-info dump` writes every log and object to files. Ask for what you need."),
    "config": Refusal(
        "identity",
        "kubeconfigs are kept by KubeChat and cannot be shown or changed in a chat. "
        "`kubectl config get-contexts` lists your clusters; an administrator maps more with `kubechat users add`.",
    ),
    "completion": Refusal("not-a-command", "`completion` prints a shell script; there is no shell here."),
    "options": Refusal("not-a-command", "`options` prints help for flags; ask KubeChat for help instead."),
    "help": Refusal("not-a-command", "ask KubeChat for `help` instead."),
    "alpha": Refusal("unknown-verb", "experimental verbs are not supported."),
    "kuberc": Refusal("host-file", f"`kuberc` {_FILES}."),
    "apply edit-last-applied": Refusal("interactive", f"`edit-last-applied` {_INTERACTIVE}."),
    "apply set-last-applied": Refusal("host-file", f"`set-last-applied` {_FILES}."),
    "apply view-last-applied": Refusal("unknown-verb", "use `get … -o yaml`; KubeChat hides Secret values there."),
}
"""Verbs that no approval can allow. The longest match decides."""

_MOVES = "would move the call to another server or weaken its TLS"
_BECOMES = "would run the command as somebody else; KubeChat always uses your own access"

REFUSED_FLAGS: dict[str, Refusal] = {
    **{
        name: Refusal("moves-call", f"--{name} {_MOVES}.")
        for name in (
            "server",
            "proxy-url",
            "tls-server-name",
            "insecure-skip-tls-verify",
            "certificate-authority",
            "insecure-skip-tls-verify-backend",
        )
    },
    "context": Refusal("moves-call", "--context would pick another cluster; say `use cluster NAME` instead."),
    "cluster": Refusal("moves-call", "--cluster would pick another cluster; say `use cluster NAME` instead."),
    **{
        name: Refusal("identity", f"--{name} {_BECOMES}.")
        for name in (
            "as",
            "as-group",
            "as-uid",
            "as-user-extra",
            "user",
            "token",
            "username",
            "password",
            "client-key",
            "client-certificate",
            "kubeconfig",
        )
    },
    **{
        name: Refusal("host-file", f"--{name} {_FILES}.")
        for name in (
            "cache-dir",
            "profile",
            "profile-output",
            "from-file",
            "from-env-file",
            "patch-file",
            "output-directory",
            "cert",
            "key",
            "kuberc",
            "log-dir",
            "log-file",
            "template-file",
        )
    },
    "field-manager": Refusal("identity", "--field-manager would make the change look like another program's."),
    "show-secrets": Refusal("secret-values", "--show-secrets prints the values of Secrets; KubeChat never shows them."),
    "kustomize": Refusal("host-file", f"--kustomize {_FILES}. Build it in your pipeline and apply the result."),
    "filename": Refusal("host-file", f"--filename {_FILES}. Put the manifest in a code block or attach it."),
    "recursive": Refusal("host-file", f"--recursive {_FILES}."),
    "raw": Refusal("raw-path", "--raw calls any path of the API server. Name the resource instead."),
    "prune": Refusal("prune", "--prune deletes objects that the manifest does not name. Delete them by name."),
    "prune-allowlist": Refusal("prune", "--prune deletes objects that the manifest does not name. Delete them by name."),
    "applyset": Refusal("prune", "--applyset deletes objects that the manifest does not name. Delete them by name."),
    **{
        name: Refusal("interactive", f"--{name} {_INTERACTIVE}. Leave it out.")
        for name in ("stdin", "tty", "edit", "attach", "interactive", "leave-stdin-open", "rm", "windows-line-endings")
    },
    "v": Refusal("log-level", "--v prints requests with their credentials."),
    "vmodule": Refusal("log-level", "--vmodule prints requests with their credentials."),
    "template": Refusal("output-format", "Go templates are not supported. Use -o jsonpath=… or -o custom-columns=…."),
    "local": Refusal("host-file", "--local works on files only."),
}
"""Flags that no approval can allow, wherever they stand, unless the verb's own row allows the name."""

REFUSED_SHORT = {"s": "server", "v": "v", "f": "filename", "k": "kustomize", "R": "recursive", "i": "stdin", "t": "tty"}
"""Letters of refused flags, for the reason; a verb's own row is asked first."""

REFUSED_OUTPUTS: tuple[tuple[re.Pattern[str], Refusal], ...] = (
    (re.compile(r"(go-template|jsonpath|custom-columns|template)-?file\b.*|templatefile.*", re.DOTALL),
     Refusal("host-file", f"this output format {_FILES}. Write the expression itself: -o jsonpath=… or -o custom-columns=….")),
    (re.compile(r"(go-)?template\b.*", re.DOTALL), REFUSED_FLAGS["template"]),
)  # fmt: skip
