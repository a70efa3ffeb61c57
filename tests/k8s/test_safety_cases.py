"""Every line of the corpus is judged as it says, and the corpus leaves nothing of the verb table out."""

import re
from itertools import cycle
from pathlib import Path

import pytest

from k8s.line import CommandRefused, split_words
from k8s.safety import judge
from k8s.types import Command, Level
from k8s.verbs import REFUSED_FLAGS, REFUSED_VERBS, SAME_VERB, VERBS
from tests.k8s.corpus import Case, attachments, cases

DOCS = Path(__file__).parents[2] / "docs" / "safety.md"


def accepted() -> list[tuple[Case, Command]]:
    return [(case, command) for case in cases() if (command := case.judged()[0]) is not None]


@pytest.mark.parametrize("file", sorted({case.file for case in cases()}))
def test_every_case_gets_the_verdict_and_the_rule_it_says(file: str) -> None:
    wrong = []
    for case in (case for case in cases() if case.file == file):
        _, verdict = case.judged()
        if verdict.level is not case.level or case.rule not in {"-", verdict.rule}:
            wrong.append(f"{case}\n  meant {case.level} {case.rule}, judged {verdict.level} {verdict.rule}: {verdict.reasons}")
    assert not wrong, "\n".join(wrong)


def test_every_verdict_says_why() -> None:
    for case in cases():
        _, verdict = case.judged()
        assert verdict.reasons, case
        assert all(reason[:1].strip() and reason.endswith((".", "…", "?")) for reason in verdict.reasons), (case, verdict.reasons)


def test_the_corpus_is_large_and_says_nothing_twice() -> None:
    lines = [(case.file == "manifests.txt", case.command) for case in cases()]
    assert len(lines) >= 1000
    assert len(set(lines)) == len(lines), sorted(line for line in lines if lines.count(line) > 1)


def test_every_verb_has_a_case_at_its_own_level_and_a_refused_one() -> None:
    taken = {(command.verb, case.level) for case, command in accepted()}
    assert {name for name, verb in VERBS.items() if (name, verb.level) not in taken} == set()
    refused = [case.command for case in cases() if case.level is Level.FORBIDDEN]
    spellings = {name: [name, *(alias for alias, verb in SAME_VERB.items() if verb == name)] for name in VERBS}
    missing = {
        name
        for name, words in spellings.items()
        if not any(re.search(rf"(^|\s){re.escape(word)}(\s|$)", line) for word in words for line in refused)
    }
    assert missing == set()


def test_every_changing_verb_with_a_dry_run_has_a_case_that_is_safe_with_one() -> None:
    dry = {command.verb for case, command in accepted() if case.level is Level.SAFE and command.dry_run}
    generators = {name for name in VERBS if name.startswith("create ")}  # one row of flags for all of them
    able = {name for name, verb in VERBS.items() if verb.find("dry-run") is not None}
    assert able - dry - generators == set()


def test_every_alias_of_a_verb_is_used() -> None:
    unused = {alias for alias in SAME_VERB if not any(re.search(rf"\b{alias}\s", case.command) for case in cases())}
    assert unused == set()


def test_every_refused_verb_has_a_case_with_its_rule() -> None:
    known = {(verdict.rule, case.command) for case in cases() if (verdict := case.judged()[1]).level is Level.FORBIDDEN}
    for verb, refusal in REFUSED_VERBS.items():
        if verb in VERBS:
            continue
        line = f"kubectl {verb} x"
        assert judge(line)[1].rule == refusal.rule, line
        assert any(rule == refusal.rule and verb.split()[-1] in line for rule, line in known), verb


def test_a_refused_flag_anywhere_before_the_double_dash_is_forbidden() -> None:
    flags = cycle(sorted(REFUSED_FLAGS))
    for case, command in accepted():
        words = split_words(case.command)
        before = words[: words.index("--")] if "--" in words else words
        for position in range(len(before) + 1):
            name = next(flag for flag in flags if VERBS[command.verb].find(flag) is None)
            line = [*words[:position], f"--{name}=x", *words[position:]]
            _, verdict = judge(" ".join(map(quoted, line)), files=attachments())
            assert verdict.level is Level.FORBIDDEN, line


def test_a_word_after_the_double_dash_is_no_flag_of_ours() -> None:
    for name in REFUSED_FLAGS:
        assert judge(f"kubectl exec web-0 -- program --{name}=x")[1].rule == "exec"


def test_flags_are_refused_with_the_rule_of_their_row() -> None:
    for name, refusal in REFUSED_FLAGS.items():
        for line in (
            f"kubectl get pods --{name}=x",
            f"kubectl --{name}=x get pods",
            f"kubectl get pods --{name.replace('-', '_')}",
        ):
            assert judge(line)[1].rule == refusal.rule, line


def test_the_rules_in_the_docs_are_the_rules_there_are() -> None:
    named = set(re.findall(r"^\| `([a-z-]+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE))
    used = {case.judged()[1].rule for case in cases()}
    assert named - used == {"too-long", "hidden-character"}  # these need characters that a case file should not hold
    assert used - named == set()


def test_the_examples_in_the_docs_are_judged_by_the_rule_beside_them() -> None:
    rows = re.findall(r"^\| `([a-z-]+)` \| `(kubectl [^`]+)` \|", DOCS.read_text(encoding="utf-8"), re.MULTILINE)
    assert len(rows) > 25
    for rule, line in rows:
        assert judge(line.replace("\\|", "|"), files=attachments())[1].rule == rule, line


def quoted(word: str) -> str:
    return "'" + word.replace("'", "'\"'\"'") + "'"


def test_the_quoting_used_here_is_read_back() -> None:
    for word in ("a", "it's", 'a "b" $c', ""):
        assert split_words(quoted(word)) == [word]
    with pytest.raises(CommandRefused):
        split_words("'")
