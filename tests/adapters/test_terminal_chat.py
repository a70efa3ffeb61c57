import stat
from pathlib import Path

import pytest

from tests.adapters.keyboard import Keyboard

PASTE = "\x1b[200~{}\x1b[201~"
PROMPT = "›"


async def test_a_change_is_proposed_and_run_by_its_number(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect("alice · new thread ›")
        person.type("scale\r")
        await person.expect("● Waits for a choice · dangerous")
        await person.expect("[1] Run it   [2] Deny   [3] Cancel")
        await person.expect("alice · thread 1 ›")
        person.type("1\r")
        await person.expect("alice presses [1] Run it")
        await person.expect("↻ … Working")
        await person.expect("✓ Done")
        await person.expect("[4] Undo: scale back to 3")
        person.type("1\r")
        await person.expect("Choice 1 is gone, or never was. Choices now: [4] Undo")
        await person.expect(PROMPT)
        person.type("\x04")
        assert await person.left() == 0


async def test_people_and_threads_are_switched(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        for typed, shown in [
            ("hello", "alice said 'hello'"),
            ("/as bob", "You are bob now."),
            ("/new", "The next message starts a new thread."),
            ("good day", "bob said 'good day'"),
            ("/threads", "→ 2  good day"),
            ("/thread 1", "Back in thread 1: hello"),
            ("/nonsense", "/nonsense is no command of this chat. /help lists them."),
        ]:
            await person.expect(PROMPT)
            person.type(f"{typed}\r")
            await person.expect(shown)
        await person.expect("bob · thread 1 ›")
        person.type("/quit\r")
        assert await person.left() == 0


@pytest.mark.parametrize("keys", [PASTE.format("apply this\n```\nkind: Pod\n```") + "\r", "apply this ```\rkind: Pod\r```\r"])
async def test_a_code_block_is_one_message_pasted_or_typed(tmp_path: Path, keys: str) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type(keys)
        before = await person.expect("alice said 'apply this")
        assert "kind: Pod" in before
        assert "kind: Pod" in await person.expect("```'")
        await person.expect(PROMPT)
        person.type("\x04")
        assert await person.left() == 0
    assert "kind: Pod" not in (tmp_path / "history").read_text(encoding="utf-8")


async def test_lines_are_kept_for_the_owner_alone_and_come_back(tmp_path: Path) -> None:
    home = tmp_path / "new" / "home"
    async with Keyboard(home) as person:
        for typed in ("hello", " a line with a secret"):
            await person.expect(PROMPT)
            person.type(f"{typed}\r")
            await person.expect("alice said")
        await person.expect(PROMPT)
        person.type("\x04")
        await person.left()
    assert stat.S_IMODE((home / "history").stat().st_mode) == 0o600
    assert stat.S_IMODE(home.stat().st_mode) == 0o700
    assert "secret" not in (home / "history").read_text(encoding="utf-8")
    async with Keyboard(home) as person:
        await person.expect(PROMPT)
        person.type("\x1b[A\r")
        await person.expect("alice said 'hello'")


async def test_a_home_that_cannot_be_used_costs_the_history_only(tmp_path: Path) -> None:
    (tmp_path / "history").mkdir()
    async with Keyboard(tmp_path) as person:
        await person.expect("Lines are not kept for the next time")
        await person.expect(PROMPT)
        person.type("hello\r")
        await person.expect("alice said 'hello'")


async def test_ctrl_c_drops_the_line(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type("delete everyth")
        await person.expect("delete everyth")
        person.type("\x03")
        await person.expect(PROMPT)
        person.type("hello\r")
        await person.expect("alice said 'hello'")


async def test_ctrl_c_stops_the_waiting_and_the_answer_still_comes(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type("slow\r")
        await person.expect("at work…")
        person.type("\x03")
        await person.expect("Not waiting any longer.")
        await person.expect("alice · thread 1 ›")
        person.type("half a li")
        await person.expect("half a li")
        person.go_on()
        await person.expect("Slow, and done.")
        await person.expect("alice · thread 1 › half a li")
        person.type("ne\r")
        await person.expect("alice said 'half a line'")


async def test_leaving_waits_for_what_is_at_work_until_ctrl_c(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type("slow\r")
        await person.expect("at work…")
        person.type("\x03")
        await person.expect("alice · thread 1 ›")
        person.type("\x04")
        await person.expect("Still at work; Ctrl-C leaves at once.")
        await person.expect("at work…")
        person.type("\x03")
        assert await person.left() == 0


async def test_a_crash_of_a_handler_does_not_end_the_chat(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type("crash\r")
        await person.expect("! Failed")
        await person.expect("Something went wrong inside KubeChat (KeyError)")
        await person.expect(PROMPT)
        person.type("hello\r")
        await person.expect("alice said 'hello'")


async def test_tab_completes_commands_people_and_paths(tmp_path: Path) -> None:
    (tmp_path / "checkout.yaml").write_text("kind: Pod\n", encoding="utf-8")
    async with Keyboard(tmp_path) as person:
        for typed, shown in [
            ("/hel\t\r", "show this list"),
            ("/as b\t\r", "You are bob now."),
            (f"/attach {tmp_path}/chec\t\r", "checkout.yaml goes with the next message."),
        ]:
            await person.expect(PROMPT)
            person.type(typed)
            await person.expect(shown)
        await person.expect("1 attached ›")
        person.type("apply this\r")
        await person.expect("bob said 'apply this' with checkout.yaml")


async def test_the_chat_works_on_a_dumb_terminal_and_on_a_narrow_one(tmp_path: Path) -> None:
    for columns, term in ((90, "dumb"), (60, "xterm-256color")):
        async with Keyboard(tmp_path, columns=columns, term=term) as person:
            await person.expect(PROMPT)
            person.type("pods\r")
            await person.expect("CrashLoopBackOff")
            person.type("/quit\r")
            assert await person.left() == 0


async def test_keys_pressed_while_an_answer_is_on_its_way_wait_unseen_for_the_prompt(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type("slow\r")
        await person.expect("at work…")
        person.type("hello\r\x04")
        person.go_on()
        assert "hello" not in await person.expect("Slow, and done.")
        await person.expect("alice said 'hello'")
        assert await person.left() == 0


async def test_the_terminal_and_ctrl_c_are_left_as_they_were_found(tmp_path: Path) -> None:
    async with Keyboard(tmp_path) as person:
        await person.expect(PROMPT)
        person.type("hello\r")
        await person.expect("alice said 'hello'")
        await person.expect(PROMPT)
        person.type("\x04")
        await person.expect("left as found: True")
