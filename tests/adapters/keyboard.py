"""A person at a terminal: a chat in a process of its own behind a pseudo-terminal. Also the chat's own main program."""

import asyncio
import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
from pathlib import Path
from types import TracebackType
from typing import Self

from adapters.terminal.chat import chat
from tests.adapters.dialogue import Script

_ESCAPES = re.compile(r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b[()][A-Z0-9]|\x1b\][^\x07]*\x07|\x1b[=>78]|[\r\x07\x08]")
_PATIENCE = 30.0


class Keyboard:
    """Types into the chat and reads its screen. `expect` moves on past what it found, so each text is waited for in order."""

    def __init__(self, home: Path, *, columns: int = 90, term: str = "xterm-256color") -> None:
        self._home = home
        self._columns = columns
        self._term = term
        self._raw = ""
        self._seen = 0
        self._grown = asyncio.Event()

    async def __aenter__(self) -> Self:
        self._near, far = pty.openpty()
        fcntl.ioctl(far, termios.TIOCSWINSZ, struct.pack("HHHH", 40, self._columns, 0, 0))
        os.set_blocking(self._near, False)
        asyncio.get_running_loop().add_reader(self._near, self._read)
        # Without questions about the cursor, which this terminal cannot answer, each prompt is drawn once.
        environment = {
            **os.environ,
            "TERM": self._term,
            "PROMPT_TOOLKIT_NO_CPR": "1",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        }
        self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-c", "import sys; from tests.adapters.keyboard import main; main(sys.argv[1])", str(self._home)),
            stdin=far,
            stdout=far,
            stderr=far,
            env=environment,
            # A session of its own with this terminal, so that Ctrl-C becomes its signal.
            preexec_fn=_take_terminal,
        )
        os.close(far)
        return self

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.returncode is None:
            self._process.kill()
            await self._process.wait()
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)

    def type(self, keys: str) -> None:
        os.write(self._near, keys.encode())

    async def expect(self, text: str) -> str:
        """Wait until the text is on the screen; returns what came before it since the last time."""
        try:
            async with asyncio.timeout(_PATIENCE):
                while (found := self.screen.find(text, self._seen)) < 0:
                    self._grown.clear()
                    await self._grown.wait()
        except TimeoutError:
            raise AssertionError(f"{text!r} did not come. The screen since the last find:\n{self.screen[self._seen :]}") from None
        before = self.screen[self._seen : found]
        self._seen = found + len(text)
        return before

    def go_on(self) -> None:
        """Let the handler of the message "slow" come to its end."""
        self._process.send_signal(signal.SIGUSR1)

    async def left(self) -> int:
        """Wait for the chat to end; its exit code."""
        async with asyncio.timeout(_PATIENCE):
            return await self._process.wait()

    @property
    def screen(self) -> str:
        """All that was ever printed, without the escape sequences."""
        return _ESCAPES.sub("", self._raw)

    def _read(self) -> None:
        try:
            data = os.read(self._near, 65536)
        except OSError:  # the other end is closed
            data = b""
        if not data:
            asyncio.get_running_loop().remove_reader(self._near)
        self._raw += data.decode(errors="replace")
        self._grown.set()


def _take_terminal() -> None:
    os.setsid()
    fcntl.ioctl(0, termios.TIOCSCTTY, 0)


def main(home: str) -> None:
    asyncio.run(_chat(Path(home)))


async def _chat(home: Path) -> None:
    script = Script()
    asyncio.get_running_loop().add_signal_handler(signal.SIGUSR1, script.go_on.set)
    before = signal.getsignal(signal.SIGINT), termios.tcgetattr(0)
    await chat(
        script.handle_message,
        script.handle_click,
        user="alice",
        workspace="local",
        home=home,
        people=("alice", "bob"),
    )
    print("left as found:", before == (signal.getsignal(signal.SIGINT), termios.tcgetattr(0)))
