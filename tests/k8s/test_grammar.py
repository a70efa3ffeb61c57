"""How a line is read, and that what is shown is what is meant."""

import json
import unicodedata

import pytest
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from k8s.grammar import CommandRefused, parse
from k8s.line import MAX_LINE
from k8s.redact import clean_line
from k8s.safety import classify, judge
from k8s.types import Command, Level, Target, command_from_json
from k8s.verbs import REFUSED_FLAGS, VERBS, Flag, Operands, Verb
from tests.k8s.corpus import cases

POD = "apiVersion: v1\nkind: Pod\nmetadata: {name: a}\n"


def command(verb: str, *targets: str, **fields: object) -> Command:
    """`command("get", "pods/web-0")`: targets as TYPE or TYPE/NAME."""
    named = tuple(Target(resource, name or None) for resource, _, name in (target.partition("/") for target in targets))
    return Command(verb=verb, targets=named, **fields)  # type: ignore[arg-type]


READINGS: tuple[tuple[str, Command, str], ...] = (
    # what was typed, what it means, how it is shown
    ("get po", command("get", "pods"), "kubectl get pods"),
    ("kubectl -n shop get po web-0", command("get", "pods/web-0", namespace="shop"), "kubectl get pod web-0 -n shop"),
    ("get -n shop pod/web-0 svc/web", command("get", "pods/web-0", "services/web", namespace="shop"),
     "kubectl get pod/web-0 service/web -n shop"),
    ("get deploy,rs", command("get", "deployments", "replicasets"), "kubectl get deployments,replicasets"),
    ("get pods,svc web", command("get", "pods/web", "services/web"), "kubectl get pod/web service/web"),
    ("get pods,po,Pod", command("get", "pods"), "kubectl get pods"),
    ("get Deployment.v1.apps web", command("get", "deployments/web"), "kubectl get deployment web"),
    ("get roles.rbac", command("get", "roles"), "kubectl get roles"),
    ("get Widgets.Example.com", command("get", "widgets.example.com"), "kubectl get widgets.example.com"),
    ("get ingresses.extensions", command("get", "ingresses.extensions"), "kubectl get ingresses.extensions"),
    ("get pods -Ao JSON", command("get", "pods", all_namespaces=True, flags=(("output", "json"),)), "kubectl get pods -A -o json"),
    ("get pods -w=false --watch-only=false", command("get", "pods"), "kubectl get pods"),
    ("get pods -l 'a in (b,c)'", command("get", "pods", flags=(("selector", "a in (b,c)"),)), "kubectl get pods -l 'a in (b,c)'"),
    ("get pods -L a -Lb", command("get", "pods", flags=(("label-columns", "a"), ("label-columns", "b"))),
     "kubectl get pods --label-columns=a --label-columns=b"),
    ("get pods --sort-by .a", command("get", "pods", flags=(("sort-by", ".a"),)), "kubectl get pods --sort-by=.a"),
    ("get pods --all_namespaces", command("get", "pods", all_namespaces=True), "kubectl get pods -A"),
    ("logs web-0 app", command("logs", "pods/web-0", flags=(("container", "app"),)), "kubectl logs web-0 -c app"),
    ("logs deploy/web --tail -1", command("logs", "deployments/web", flags=(("tail", "-1"),)), "kubectl logs deployment/web --tail=-1"),
    ("logs -fp web-0", command("logs", "pods/web-0", flags=(("follow", "true"), ("previous", "true"))),
     "kubectl logs web-0 --follow --previous"),
    ("top no", command("top nodes"), "kubectl top nodes"),
    ("top pod web-0", command("top pods", "pods/web-0"), "kubectl top pods web-0"),
    ("rollout -n shop restart deploy/web", command("rollout restart", "deployments/web", namespace="shop"),
     "kubectl rollout restart deployment web -n shop"),
    ("rollout status deploy/web -w", command("rollout status", "deployments/web", flags=(("watch", "true"),)),
     "kubectl rollout status deployment web --watch"),
    ("rollout status deploy/web --watch=false", command("rollout status", "deployments/web", flags=(("watch", "false"),)),
     "kubectl rollout status deployment web --watch=false"),
    ("scale --replicas 3 deploy web", command("scale", "deployments/web", flags=(("replicas", "3"),)),
     "kubectl scale deployment web --replicas=3"),
    ("delete pod web-0 --dry-run", command("delete", "pods/web-0", flags=(("dry-run", "client"),)),
     "kubectl delete pod web-0 --dry-run=client"),
    ("delete deploy web --cascade", command("delete", "deployments/web", flags=(("cascade", "background"),)),
     "kubectl delete deployment web --cascade=background"),
    ("delete pods --force=false --all=true", command("delete", "pods", flags=(("all", "true"),)), "kubectl delete pods --all"),
    ("label pod web-0 a=b c-", command("label", "pods/web-0", args=("a=b", "c-")), "kubectl label pod web-0 a=b c-"),
    ("annotate pod/web-0 'note=it''s \"fine\"'", command("annotate", "pods/web-0", args=('note=its "fine"',)),
     "kubectl annotate pod web-0 'note=its \"fine\"'"),
    ("taint no node-1 a:NoExecute", command("taint", "nodes/node-1", args=("a:NoExecute",)), "kubectl taint node node-1 a:NoExecute"),
    ("set image deploy/web *=nginx:1", command("set image", "deployments/web", args=("*=nginx:1",)),
     "kubectl set image deployment web '*=nginx:1'"),
    ("set sa deploy web robot", command("set serviceaccount", "deployments/web", args=("robot",)),
     "kubectl set serviceaccount deployment web robot"),
    ("set env deploy/web -e A=1 -e B=2", command("set env", "deployments/web", flags=(("env", "A=1"), ("env", "B=2"))),
     "kubectl set env deployment web --env=A=1 --env=B=2"),
    ("drain node/a b", command("drain", "nodes/a", "nodes/b"), "kubectl drain a b"),
    ("exec web-0 -c app -- sh -c 'a | b'", command("exec", "pods/web-0", flags=(("container", "app"),), remote=("sh", "-c", "a | b")),
     "kubectl exec web-0 -c app -- sh -c 'a | b'"),
    ("exec web-0 -- -n x", command("exec", "pods/web-0", remote=("-n", "x")), "kubectl exec web-0 -- -n x"),
    ("create svc clusterip web --tcp=80", command("create service clusterip", args=("web",), flags=(("tcp", "80"),)),
     "kubectl create service clusterip web --tcp=80"),
    ("create pdb web --selector app=web", command("create poddisruptionbudget", args=("web",), flags=(("selector", "app=web"),)),
     "kubectl create poddisruptionbudget web --selector=app=web"),
    ("expose deploy/web --selector=a=b -lc=d", command("expose", "deployments/web", flags=(("selector", "a=b"), ("labels", "c=d"))),
     "kubectl expose deployment web --selector=a=b --labels=c=d"),
    ("run x --image=true", command("run", args=("x",), flags=(("image", "true"),)), "kubectl run x --image=true"),
    ("auth can-i '*' '*'", command("auth can-i", args=("*", "*")), "kubectl auth can-i '*' '*'"),
    ("explain pods.spec", command("explain", args=("pods.spec",)), "kubectl explain pods.spec"),
    ("  get\tpods  \n", command("get", "pods"), "kubectl get pods"),
)  # fmt: skip


@pytest.mark.parametrize(("typed", "meant", "shown"), READINGS)
def test_a_line_is_read_as_kubectl_reads_it(typed: str, meant: Command, shown: str) -> None:
    assert parse(typed) == meant
    assert meant.text == shown
    assert parse(shown) == meant


UNSEEN = {
    "shell-syntax": ["\n", "\r", "\u2028", "\u2029"],
    "hidden-character": [
        *("\x00", "\x07", "\x08", "\x1b", "\x7f", "\x85", "\x9b"),  # controls
        *("\u202a", "\u202e", "\u2066", "\u2069", "\u200e", "\u061c"),  # direction
        *("\u200b", "\u200d", "\ufeff", "\u00ad", "\u2060", "\u034f", "\ufe0f", "\U000e0041"),  # zero width
        *("\u00a0", "\u2003", "\u3000", "\u2800", "\u3164", "\uffa0", "\u115f"),  # blanks that are no space
        *("\ud800", "\ue000", "\uffff"),  # no characters at all
    ],
}


@pytest.mark.parametrize(("rule", "character"), [(rule, character) for rule, found in UNSEEN.items() for character in found])
def test_a_character_that_cannot_be_seen_is_refused_wherever_it_stands(rule: str, character: str) -> None:
    for line in (f"delete pod we{character}b", f"annotate pod web 'a=b{character}c'", f'annotate pod web "a={character}b"',
                 f"exec web-0 -- sh -c 'a{character}b'", f"get pods -n {character} shop"):  # fmt: skip
        assert judge(line)[1].rule == rule, repr(line)


@pytest.mark.parametrize("line", ["annotate pod web 'a=b\tc'", 'annotate pod web "a=b\tc"', "annotate pod web a=b\\\tc"])
def test_a_tab_within_a_word_is_refused(line: str) -> None:
    assert judge(line)[1].rule == "hidden-character"


def test_a_line_is_refused_when_it_or_what_would_be_shown_is_too_long() -> None:
    assert judge("get pod " + "a " * MAX_LINE)[1].rule == "too-long"
    assert judge("annotate pod web 'a=" + "x" * (MAX_LINE - 200) + "'")[1].level is Level.WARNING
    quotes = 'annotate pod web "a=' + "'" * (MAX_LINE - 200) + '"'  # each ' is shown as '"'"'
    assert len(quotes) < MAX_LINE
    assert judge(quotes)[1].rule == "too-long"


def test_the_manifest_of_the_message_is_the_only_one() -> None:
    assert parse("apply", manifest=POD).manifest == POD
    assert parse("apply -f -", manifest=POD).manifest == POD
    assert parse("apply -f pod.yaml", files={"pod.yaml": POD, "b.yaml": ""}).manifest == POD
    assert parse("apply", files={"pod.yaml": POD}).manifest == POD
    assert parse("get pods", manifest=POD).manifest is None
    assert parse("delete pod a", manifest=POD).manifest is None
    for line, rule in (
        ("apply -f pod.yaml", "host-file"),
        ("apply -f ../pod.yaml", "host-file"),
        ("delete", "syntax"),
        ("apply -f https://example.com/pod.yaml", "url"),
    ):
        with pytest.raises(CommandRefused) as refused:
            parse(line, manifest=POD)
        assert refused.value.rule == rule
    with pytest.raises(CommandRefused) as refused:
        parse("apply", files={"a.yaml": POD, "b.yaml": POD})
    assert refused.value.rule == "no-manifest"


# --- properties -----------------------------------------------------------------------------------------------------------

_NAMES = st.sampled_from(["web", "web-0", "node-1", "a.b.c", "true", "delete", "1"])
_TYPES = st.sampled_from(
    ["pods", "po", "deploy", "Deployment.apps", "secrets.v1.", "roles.rbac", "widgets.example.com", "cm", "endpoints", "nodes"]
)
_LETTERS = st.characters(exclude_categories=("C", "Zl", "Zp", "Zs"), include_characters=" ")
_TEXTS = st.text(_LETTERS, max_size=20)
_WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=126), min_size=1, max_size=20)
_VALUES: dict[str, st.SearchStrategy[str]] = {
    "text": _TEXTS,
    "word": st.one_of(_WORDS, st.just("true")),
    "count": st.integers(0, 999).map(str),
    "int": st.integers(-1, 999).map(str),
    "number": st.integers(-999, 999).map(str),
    "bool": st.sampled_from(["true", "false"]),
    "duration": st.sampled_from(["0", "5s", "1h30m", "1.5s"]),
    "namespace": st.sampled_from(["shop", "kube-system", "a"]),
    "selector": st.sampled_from(["a=b", "a in (b, c)", "!a", "a,b!=c", "true"]),
    "fields": st.sampled_from(["status.phase!=Running", "metadata.name=a"]),
    "output": st.sampled_from(
        ["yaml", "JSON", "name", "wide", "jsonpath={.a[*].b} x", "custom-columns=A:.b,C:.d", "jsonpath=' \""]
    ),
    "dry-run": st.sampled_from(["none", "client", "server"]),
    "cascade": st.sampled_from(["background", "foreground", "orphan"]),
    "subresource": st.sampled_from(["status", "scale"]),
    "validate": st.sampled_from(["strict", "true"]),
    "patch-type": st.sampled_from(["json", "merge", "strategic"]),
    "usage": st.sampled_from(["cpu", "memory"]),
    "time": st.just("2026-01-31T12:00:00Z"),
}


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"


@st.composite
def flag_words(draw: st.DrawFn, flag: Flag) -> list[str]:
    """The flag in one of the ways it may be written."""
    if flag.form is None:
        return [draw(st.sampled_from([f"--{flag.name}", f"--{flag.name}=false", *([f"-{flag.short}"] if flag.short else [])]))]
    value = draw(_VALUES[flag.form])
    ways = [[f"--{flag.name}={value}"]]
    if flag.bare is None:
        ways += [[f"--{flag.name}", value]]
        ways += [[f"-{flag.short}", value], [f"-{flag.short}{value}"], [f"-{flag.short}={value}"]] if flag.short else []
    return draw(st.sampled_from(ways))


@st.composite
def operand_words(draw: st.DrawFn, verb: Verb) -> list[str]:
    names = draw(st.lists(_NAMES, max_size=2))
    pairs = draw(st.lists(st.sampled_from(["a=b", "c-", "x.y/z=w v", "k=NoExecute", "e=ü'"]), max_size=2))
    kind = draw(_TYPES)
    match verb.operands:
        case Operands.NONE:
            return []
        case Operands.NODES | Operands.FREE:
            return names
        case Operands.NAME:
            return names[:1]
        case Operands.POD:
            return draw(st.sampled_from([["web-0"], [f"{kind}/web"], ["web-0", "app"]]))
        case Operands.TARGETS | Operands.PAIRS:
            targets = draw(st.sampled_from([[kind, *names], [f"{kind}/{name}" for name in names], [f"{kind},po", *names]]))
            return targets + (pairs if verb.operands is Operands.PAIRS else [])


@st.composite
def lines(draw: st.DrawFn) -> str:
    """Lines that are mostly right, in every spelling."""
    verb = draw(st.sampled_from(list(VERBS.values())))
    flags = draw(st.lists(st.sampled_from(verb.flags), max_size=4, unique=True))
    words = [verb.name.split(), draw(operand_words(verb)), *(draw(flag_words(flag)) for flag in flags)]
    runs = verb.name in {"exec", "run", "create deployment", "create job", "create cronjob"}
    remote = ["--", *draw(st.lists(_TEXTS, min_size=1, max_size=3))] if runs and draw(st.booleans()) else []
    flat = [quoted(word) for part in words for word in part] + [quoted(word) if word != "--" else word for word in remote]
    return "kubectl " + " ".join(flat)


def seen(text: str) -> bool:
    return clean_line(text) == text and not any(unicodedata.category(character)[0] == "C" for character in text)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.filter_too_much, HealthCheck.too_slow])
@given(lines())
@example("kubectl create poddisruptionbudget x --selector=a=b")
def test_what_is_shown_is_what_was_read(line: str) -> None:
    try:
        read = parse(line, manifest=POD)
    except CommandRefused:
        assume(False)
    assert parse(read.text, manifest=read.manifest) == read
    assert seen(read.text)
    assert command_from_json(read.as_json()) == read
    assert classify(read).level.rank >= (0 if read.dry_run or read.has("list") else VERBS[read.verb].level.rank)


def test_what_is_shown_of_every_case_is_what_was_read() -> None:
    for case in cases():
        read, verdict = case.judged()
        if read is None:
            continue
        assert parse(read.text, manifest=read.manifest) == read, case
        assert judge(read.text, manifest=read.manifest)[1] == verdict, case
        assert seen(read.text), case


_PIECES = st.one_of(
    st.sampled_from([word for case in cases() for word in case.command.split()]),
    st.sampled_from([f"--{name}" for name in REFUSED_FLAGS]),
    st.text(max_size=6),
)


@settings(max_examples=300, deadline=None)
@given(st.lists(_PIECES, max_size=8).map(" ".join), st.one_of(st.none(), st.text(max_size=60)))
def test_judging_never_fails_whatever_is_typed(line: str, manifest: str | None) -> None:
    _, verdict = judge(line, manifest=manifest)
    assert verdict.reasons


_JSON = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(-1, 1), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=4)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3),
        st.dictionaries(
            st.sampled_from(["op", "path", "value", "$patch", "labels", "capabilities", "add", "sysctls", "type", "securityContext",
                             "seLinuxOptions", "effect", "replicas", "annotations", "finalizers", "hostPID", "spec", "metadata"]),
            inner, max_size=4),
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(_JSON)
def test_judging_never_fails_whatever_a_patch_or_a_manifest_holds(value: object) -> None:
    body = json.dumps(value)
    for patched in ("deploy/web", "job/a", "cm/a", "widgets.example.com/x"):
        assert judge(f"patch {patched} -p {quoted(body)}")[1].level.rank >= Level.WARNING.rank
    whole = {"apiVersion": "v1", "kind": "Pod", "type": value, "metadata": {"name": "a", "labels": value}, "spec": value}
    assert judge("apply", manifest=json.dumps(whole))[1].level.rank >= Level.WARNING.rank


_BEFORE = st.sampled_from(
    ["-n shop", "--namespace=get", "-nshop", "--request-timeout=5s", "-A", "--all-namespaces", "--server=x", "-v=9", "--", "-", "''",
     "version;", "version &&", "get pods |", "FOO=bar", "--dry-run=server", "-o yaml", "--list", "kubectl"]
)  # fmt: skip
_AFTER = st.sampled_from(
    ["-n shop", "-A", "--force", "--now", "--wait=false", "--dry-run=none", "-o name", "--list", "--", "web-1", "svc/web", "| cat",
     "&& true", "--help", "get pods", "--ignore-not-found", "--dry-run=none --dry-run=server", "--as=bob"]
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(
    st.lists(_BEFORE, max_size=3),
    st.sampled_from(["delete pod web-0", "delete ns shop", "delete pods --all"]),
    st.lists(_AFTER, max_size=3),
)
def test_whatever_stands_around_a_delete_it_is_never_less_than_dangerous(
    before: list[str], delete: str, after: list[str]
) -> None:
    line = " ".join([*before, delete, *after])
    assert judge(line)[1].level.rank >= Level.DANGEROUS.rank, line
