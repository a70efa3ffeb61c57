import io
import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from adapters.terminal.ask import EXIT_CODES, ScriptNotUnderstood, ask, script_entries
from adapters.terminal.render import new_console
from adapters.terminal.room import COMMANDS, MAX_FILE, EntryRefused
from bot.types import Click, Reply, User
from tests.adapters import golden
from tests.adapters.dialogue import RESULT, Script, only_others_approve, progress, proposal
from tests.adapters.test_terminal_render import HOSTILE

ALICE = User("terminal", "practice", "alice")


async def asked(script: Script, *entries: str, user: str = "alice", approve_as: str | None = None) -> tuple[int, list[Any]]:
    """The exit code, and the JSON lines."""
    written: list[str] = []
    code = await ask(
        script.handle_message,
        script.handle_click,
        entries,
        user=user,
        workspace="practice",
        approve_as=approve_as,
        as_json=True,
        write=written.append,
    )
    assert all(line.endswith("\n") and line[:-1].isprintable() for line in written)
    return code, [json.loads(line) for line in written]


async def transcript(script: Script, *entries: str, approve_as: str | None = None) -> str:
    console = new_console(width=80, record=True, quiet=True)
    await ask(
        script.handle_message,
        script.handle_click,
        entries,
        user="alice",
        workspace="practice",
        approve_as=approve_as,
        with_entries=True,
        console=console,
    )
    return "".join(f"{line.rstrip()}\n" for line in console.export_text().splitlines())


@pytest.mark.parametrize(
    ("text", "kind", "outcome", "code"),
    [
        ("pods", "result", "done", 0),
        ("help", "answer", "answer", 0),
        ("scale", "proposal", "waiting", 3),
        ("working", "progress", "waiting", 3),
        ("which", "question", "question", 4),
        ("forbidden", "refusal", "refused", 5),
        ("denied", "denial", "denied", 6),
        ("broken", "failure", "failed", 7),
        ("crash", "failure", "failed", 7),
        ("silent", None, "failed", 7),
    ],
)
async def test_the_last_reply_decides_outcome_and_exit_code(text: str, kind: str | None, outcome: str, code: int) -> None:
    exit_code, [line] = await asked(Script(), text)
    assert (line["kind"], line["outcome"], exit_code) == (kind, outcome, code)
    assert code not in {1, 2}


def test_every_outcome_that_needs_somebody_has_an_exit_code_of_its_own() -> None:
    codes = [code for name, code in EXIT_CODES.items() if name not in {"done", "answer"}]
    assert len(set(codes)) == len(codes)
    assert not {0, 1, 2} & set(codes)


async def test_a_message_carries_who_where_and_what() -> None:
    script = Script()
    code, lines = await asked(script, "pods", "help", "/new", "/as bob", "help")
    first, second, third = script.messages
    assert code == 0
    assert (first.user.key, third.user.key) == ("terminal/practice/alice", "terminal/practice/bob")
    assert first.thread.key == f"terminal/practice/local/{first.id}"
    assert second.thread == first.thread != third.thread
    assert third.thread.root == third.id
    assert len({message.id for message in script.messages}) == 3
    assert first.at.tzinfo is not None
    assert [(line["id"], line["user"], line["thread"]) for line in lines] == [
        (message.id, message.user.id, message.thread.root) for message in script.messages
    ]


async def test_a_line_of_json_holds_the_whole_reply_and_no_button_id() -> None:
    _, [line] = await asked(Script(), "scale")
    assert line.pop("ms") >= 0
    identifier = line.pop("id")
    assert line == {
        "user": "alice",
        "thread": identifier,
        "text": "scale",
        "outcome": "waiting",
        "kind": "proposal",
        "commands": ["kubectl scale deployment/checkout --replicas=0 --namespace=shop"],
        "level": "dangerous",
        "pressed": [],
        "replies": [
            {
                "kind": "proposal",
                "text": "Scale checkout in shop to 0? This waits for a choice.",
                "commands": ["kubectl scale deployment/checkout --replicas=0 --namespace=shop"],
                "level": "dangerous",
                "card": "card",
                "revision": 1,
                "private": False,
                "blocks": [
                    {"type": "header", "text": "Scale checkout in shop to 0"},
                    {
                        "type": "code",
                        "text": "kubectl scale deployment/checkout --replicas=0 --namespace=shop",
                        "language": "sh",
                    },
                    {
                        "type": "fields",
                        "pairs": [
                            ["Cluster", "practice"],
                            ["What happens", "all 3 pods of checkout stop, and nothing answers in their place"],
                        ],
                    },
                    {"type": "code", "text": "-  replicas: 3\n+  replicas: 0", "language": "diff"},
                    {"type": "context", "text": "Another person has to approve within 15 minutes."},
                ],
                "buttons": [
                    {"number": 1, "label": "Run it", "role": "confirm"},
                    {"number": 2, "label": "Deny", "role": "deny"},
                    {"number": 3, "label": "Cancel", "role": "cancel"},
                ],
                "files": [],
            }
        ],
    }


async def test_files_and_tables_are_in_the_json_whole() -> None:
    _, [logs, pods] = await asked(Script(), "logs", "pods")
    assert logs["replies"][0]["files"] == [{"name": "ledger.log", "text": "one\ntwo\n"}]
    _, table, _ = pods["replies"][0]["blocks"]
    assert (table["type"], table["columns"][0], len(table["rows"])) == ("table", "NAME", 3)


@pytest.mark.parametrize(
    "text", [HOSTILE, "9" * 5_000, "a\u2028b\x85c", "\ud800 \udcff", "\U000e0041", "x" * 40_000, "NUL \0 end"]
)
async def test_hostile_text_stays_on_its_line_and_comes_back_as_it_was(text: str) -> None:
    script = Script()
    _, [line] = await asked(script, text)
    assert line["text"] == script.messages[0].text == text


async def test_json_on_the_standard_output_is_utf_8_whatever_the_locale(capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    script = Script()
    await ask(script.handle_message, script.handle_click, ["häuser 漢字"], user="alice", workspace="local", as_json=True)
    out, err = capfdbinary.readouterr()
    assert json.loads(out.decode("utf-8"))["text"] == "häuser 漢字"
    assert out.count(b"\n") == 1
    assert err == b""


async def test_a_proposal_is_left_waiting_unless_someone_is_named() -> None:
    script = Script()
    await asked(script, "scale", "delete")
    assert script.clicks == []


async def test_approve_as_confirms_as_the_asker() -> None:
    script = Script()
    code, [line] = await asked(script, "scale", approve_as="bob")
    assert [(click.user.id, click.button) for click in script.clicks] == [("alice", "card-yes")]
    assert script.clicks[0].thread == script.messages[0].thread
    assert (code, line["outcome"]) == (0, "done")
    assert line["pressed"] == [{"user": "alice", "role": "confirm", "label": "Run it"}]
    assert [reply["kind"] for reply in line["replies"]] == ["proposal", "progress", "result"]


async def test_approve_as_approves_as_the_other_person() -> None:
    script = Script(decide=only_others_approve(ALICE))
    code, [line] = await asked(script, "delete", approve_as="bob")
    assert [(click.user.id, click.button) for click in script.clicks] == [("bob", "card-yes")]
    assert (code, line["outcome"]) == (0, "done")


async def test_approving_as_the_asker_is_left_to_kubechat_to_refuse() -> None:
    script = Script(decide=only_others_approve(ALICE))
    code, [line] = await asked(script, "delete", approve_as="alice")
    assert (code, line["outcome"], len(script.clicks)) == (EXIT_CODES["refused"], "refused", 1)


async def test_a_card_that_asks_again_is_not_approved_a_second_time() -> None:
    def changed(click: Click) -> tuple[Reply, ...]:
        return (progress(), proposal(card=f"{click.button}-again"))

    script = Script(decide=changed)
    code, [line] = await asked(script, "scale", approve_as="bob")
    assert (code, line["outcome"], len(script.clicks)) == (EXIT_CODES["waiting"], "waiting", 1)


@pytest.mark.parametrize(
    ("press", "button"),
    [
        ("/press confirm", "card-yes"),
        ("/press 1", "card-yes"),
        ("1", "card-yes"),
        ("/press deny", "card-no"),
        ("/press cancel", "card-stop"),
    ],
)
async def test_a_choice_is_pressed_by_number_or_by_role(press: str, button: str) -> None:
    script = Script()
    _, [_, line] = await asked(script, "scale", "/as bob", press)
    assert [(click.button, click.user.id) for click in script.clicks] == [(button, "bob")]
    assert (line["text"], line["user"], line["thread"]) == (press, "bob", script.messages[0].id)


async def test_a_reason_goes_with_the_press() -> None:
    script = Script()
    await asked(script, "scale", "/press deny  it is Friday")
    assert script.clicks[0].reason == "it is Friday"


async def test_the_latest_button_of_a_role_in_this_thread_is_pressed() -> None:
    script = Script(decide=lambda click: ())
    await asked(script, "scale", "scale more", "/new", "pods", "/press confirm", "/thread 1", "/press confirm")
    assert [click.button for click in script.clicks] == ["more-yes"]


async def test_numbers_are_not_given_twice_and_old_ones_are_gone() -> None:
    script = Script()
    code, lines = await asked(script, "scale", "1", "2", "scale", "4")
    # The card's new revision took 1, 2 and 3 off the screen; 4 is the undo. A card of a lower revision is not shown again.
    assert [button["number"] for reply in lines[1]["replies"] for button in reply["buttons"]] == [4]
    assert lines[2]["outcome"] == "failed"
    assert "Choice 2 is gone" in lines[2]["replies"][0]["text"]
    assert "[4] Undo" in lines[2]["replies"][0]["text"]
    assert [click.button for click in script.clicks] == ["card-yes", "undo"]
    assert code == 0


async def test_a_button_that_stays_on_its_card_keeps_its_number() -> None:
    script = Script(decide=lambda click: (proposal(revision=2),))
    _, lines = await asked(script, "scale", "2")
    assert [[button["number"] for button in line["replies"][0]["buttons"]] for line in lines] == [[1, 2, 3], [1, 2, 3]]


async def test_a_number_presses_in_the_thread_where_it_was_shown() -> None:
    script = Script()
    _, lines = await asked(script, "scale", "/new", "help", "1")
    assert script.clicks[0].thread == script.messages[0].thread
    assert lines[-1]["thread"] == lines[0]["thread"] != lines[1]["thread"]


async def test_news_of_progress_after_the_result_does_not_hide_it() -> None:
    script = Script(decide=lambda click: (RESULT, progress()))
    code, [line] = await asked(script, "scale", approve_as="bob")
    assert (code, line["outcome"]) == (0, "done")


async def test_a_lower_revision_never_takes_a_higher_ones_place() -> None:
    _, [line] = await asked(Script(), "stale")
    assert [reply["revision"] for reply in line["replies"]] == [5, 6]


async def test_a_number_answers_a_question_in_words() -> None:
    script = Script()
    await asked(script, "which", "how many", "2", "1")
    assert [message.text for message in script.messages] == ["which", "how many", "2"]
    assert [click.button for click in script.clicks] == ["w1"]


@pytest.mark.parametrize(
    ("entry", "said"),
    [
        ("/frobnicate", "/help lists them"),
        ("/press", "Press what?"),
        ("/press approve", "Nothing in this thread waits for approve."),
        ("/press 7", "Choice 7 is gone, or never was. Choices now: none."),
        ("9" * 9, "is gone, or never was"),
        ("/as", "is no name"),
        ("/as a/b", "is no name"),
        ("/as рrod", "is no name"),
        ("/thread 0", "There is no thread 0"),
        ("/thread x", "There is no thread x"),
        ("/attach", "Which file?"),
        ("/attach /nowhere/x.yaml", "cannot be read: No such file or directory"),
        ("/attach /dev/zero", "is not a file"),
        ("/attach a\0b", "cannot be read"),
        ("/attach ~nobody-of-this-name/x", "cannot be read"),
        ("/save pods.txt", "No reply carried a file of that name"),
    ],
)
async def test_what_cannot_be_done_here_says_what_to_do_and_the_script_goes_on(entry: str, said: str) -> None:
    script = Script()
    code, [refused, after] = await asked(script, entry, "help")
    assert refused["outcome"] == "failed"
    assert said in refused["replies"][0]["text"]
    assert [message.text for message in script.messages] == ["help"]
    assert (code, after["outcome"]) == (0, "answer")


async def test_the_exit_code_is_that_of_the_last_entry() -> None:
    code, _ = await asked(Script(), "help", "/press approve")
    assert code == EXIT_CODES["failed"]
    code, lines = await asked(Script(), "broken", "/quit", "help")
    assert (code, len(lines)) == (EXIT_CODES["failed"], 1)
    code, lines = await asked(Script(), "/as bob")
    assert (code, lines) == (0, [])


@pytest.mark.parametrize("name", ["", "a b", "-x", "a/b", "x" * 64, "a\n"])
async def test_an_identity_is_a_plain_name(name: str) -> None:
    with pytest.raises(EntryRefused):
        await asked(Script(), "help", user=name)
    with pytest.raises(EntryRefused):
        await asked(Script(), "help", approve_as=name)


async def test_an_attached_file_goes_with_the_next_message_only(tmp_path: Path) -> None:
    manifest = tmp_path / "my app.yaml"
    manifest.write_text("kind: Pod\n# ü\n", encoding="utf-8")
    script = Script()
    await asked(script, f"/attach {manifest}", "apply this", "help")
    assert [[(file.name, file.text) for file in message.files] for message in script.messages] == [
        [("my app.yaml", "kind: Pod\n# ü\n")],
        [],
    ]


@pytest.mark.parametrize(
    ("content", "said"), [(b"a" * (MAX_FILE + 1), "larger than 1024 KiB"), (b"\xff\xfe\x00", "is not UTF-8 text")]
)
async def test_only_texts_of_a_bounded_size_are_attached(tmp_path: Path, content: bytes, said: str) -> None:
    (tmp_path / "x").write_bytes(content)
    _, [line] = await asked(Script(), f"/attach {tmp_path / 'x'}")
    assert said in line["replies"][0]["text"]
    (tmp_path / "x").write_bytes(content[:MAX_FILE].replace(b"\xff\xfe\x00", b"ok"))
    assert (await asked(Script(), f"/attach {tmp_path / 'x'}")) == (0, [])


async def test_a_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    _, [line] = await asked(Script(), f"/attach {tmp_path / 'pipe'}")
    assert "is not a file" in line["replies"][0]["text"]


async def test_a_replys_file_is_saved_beside_us_and_over_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    code, lines = await asked(Script(), "logs", "/save ledger.log", "/save ../../ledger.log")
    assert (tmp_path / "ledger.log").read_text(encoding="utf-8") == "one\ntwo\n"
    assert "was not written: File exists" in lines[-1]["replies"][0]["text"]
    assert code == EXIT_CODES["failed"]


def test_a_script_is_read_entry_by_entry() -> None:
    script = (
        "# a comment\n\nscale to 3  \r\n  /as bob\napply this\n```yaml\n# kept\n\nkind: Pod\n```\nand `this` ```\nx\n```\n1\n"
    )
    assert script_entries(script) == [
        "scale to 3",
        "/as bob",
        "apply this\n```yaml\n# kept\n\nkind: Pod\n```",
        "and `this` ```\nx\n```",
        "1",
    ]
    assert script_entries("") == []
    assert script_entries("apply\n```kind: Pod```\nhelp") == ["apply\n```kind: Pod```", "help"]


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("```\nkind: Pod\n```", "Line 1: a code block needs a message"),
        ("/as bob\n```\nkind: Pod\n```", "Line 2: a code block needs a message"),
        ("help\napply\n```\nkind: Pod\nhelp", "Line 3: the code block that begins here does not end"),
    ],
)
def test_a_script_with_a_stray_code_block_names_the_line(script: str, said: str) -> None:
    with pytest.raises(ScriptNotUnderstood, match=said):
        script_entries(script)


async def test_a_transcript_reads_as_a_conversation() -> None:
    script = Script(decide=only_others_approve(ALICE))
    text = await transcript(script, "pods", "delete", "/press approve", "/as bob", "/press approve", "logs", "/threads", "/help")
    golden.check("transcript.txt", text)


async def test_approve_as_is_told_in_the_transcript() -> None:
    text = await transcript(Script(), "delete", approve_as="bob")
    assert "bob presses [1] Approve" in text
    assert text.index("bob presses") < text.index("↻ … Working") < text.index("✓ Done")


async def test_every_command_of_the_chat_is_in_its_help() -> None:
    text = await transcript(Script(), "/help")
    assert all(command in text for command in COMMANDS)


async def test_cards_go_to_a_pipe_that_knows_only_latin_1(monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding="latin-1"))
    script = Script()
    await ask(script.handle_message, script.handle_click, ["pods"], user="alice", workspace="local")
    sys.stdout.flush()
    assert b"checkout-7d9f8b6c5d-2xkqp" in raw.getvalue()
