"""Keys for what is stored encrypted: a ring of AES-256-GCM keys kept apart from the data.

The key file holds one key a line, in base64; lines that begin with `#` are notes. The last key encrypts, all of them
decrypt. A key's id is the first 8 bytes of a SHA-256 over it, so that it need not be stored and a mistyped key is
noticed. Losing the file means losing what was encrypted: back it up, but never together with the database.
"""

import base64
import binascii
import contextlib
import hashlib
import os
import secrets
from collections.abc import Iterable
from pathlib import Path

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from audit.files import locked, replace

KEY_BYTES = 32
NONCE_BYTES = 12
"""Of random nonces, NIST SP 800-38D (8.3) allows 2^32 a key."""
ENVIRONMENT = "KUBECHAT_KEYS"
"""The variable that may hold the keys instead of a file, newest last, separated by commas or spaces."""

_FORMAT = b"\x01"
_ID_BYTES = 8
_PREFIX_BYTES = len(_FORMAT) + _ID_BYTES
_NOTE = "# KubeChat keys: one a line, the last one encrypts. Back this file up, but not together with the database.\n"


class KeysUnreadable(Exception):
    """The keys are missing, malformed, or readable by other people."""


class KeyUnknown(Exception):
    """Something was encrypted with a key that is not in this ring."""


class DecryptionRefused(Exception):
    """The bytes were changed after they were encrypted, or were moved here from another place."""


class Keyring:
    """A ring of keys. The bytes that `encrypt` returns carry the id of their key, so that keys can be rotated."""

    def __init__(self, keys: Iterable[bytes], path: Path | None = None) -> None:
        """Prefer `load` and `parse`. `path` is where `rotate` writes, None for keys that live elsewhere."""
        self._keys = {key_id(key): AESGCM(key) for key in keys}
        self._path = path
        if not self._keys:
            raise KeysUnreadable(f"no key in {path or ENVIRONMENT}")

    @classmethod
    def load(cls, path: Path, *, create: bool = True) -> "Keyring":
        """Read a key file.

        Args:
            path: the file, for instance `KUBECHAT_HOME/keys/keyring`.
            create: make it, with one fresh key and mode 0600, when it is missing.

        Raises:
            KeysUnreadable: it is missing, malformed, or not its owner's alone.
        """
        try:
            if create and not path.exists():
                _create(path)
            if path.stat().st_mode & 0o077:
                raise KeysUnreadable(f"other people may read the keys: run `chmod 600 {path}`")
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise KeysUnreadable(f"the key file {path} cannot be read: {error}") from error
        return cls(_keys_in(text, str(path)), path)

    @classmethod
    def parse(cls, text: str) -> "Keyring":
        """Read keys from a text such as the environment's `KUBECHAT_KEYS`.

        Raises:
            KeysUnreadable: there is no key in it, or something that is none.
        """
        return cls(_keys_in(text, ENVIRONMENT))

    @property
    def key_id(self) -> str:
        """The id of the key that encrypts now, 16 hexadecimal digits."""
        return next(reversed(self._keys))

    def encrypt(self, plaintext: bytes, associated: bytes) -> bytes:
        """Encrypt with the newest key.

        Args:
            plaintext: what to hide.
            associated: what it belongs to; not hidden, not stored, and needed again to decrypt.
        """
        prefix = _FORMAT + bytes.fromhex(self.key_id)
        nonce = secrets.token_bytes(NONCE_BYTES)
        return prefix + nonce + self._keys[self.key_id].encrypt(nonce, plaintext, prefix + associated)

    def decrypt(self, blob: bytes, associated: bytes) -> bytes:
        """Undo `encrypt`. The key file is read again when another process has added the key meanwhile.

        Raises:
            KeyUnknown: its key is not in this ring.
            DecryptionRefused: the bytes were changed, or `associated` is not what they were encrypted with.
        """
        prefix, nonce, body = (
            blob[:_PREFIX_BYTES],
            blob[_PREFIX_BYTES : _PREFIX_BYTES + NONCE_BYTES],
            blob[_PREFIX_BYTES + NONCE_BYTES :],
        )
        if len(nonce) < NONCE_BYTES or not prefix.startswith(_FORMAT):
            raise DecryptionRefused("these bytes were not encrypted by KubeChat")
        key = self._find(key_id_of(blob))
        try:
            return key.decrypt(nonce, body, prefix + associated)
        except InvalidTag as error:
            raise DecryptionRefused("the encrypted bytes were changed, or belong elsewhere") from error

    def rotate(self) -> str:
        """Add a fresh key, on disk first, and encrypt with it from now on. Returns its id.

        Raises:
            KeysUnreadable: the keys came from the environment (add one there), or the file cannot be written.
        """
        if self._path is None:
            raise KeysUnreadable(f"the keys come from {ENVIRONMENT}: add a new one at its end, and start again")
        key = secrets.token_bytes(KEY_BYTES)
        try:
            with locked(self._path):
                text = self._path.read_text(encoding="utf-8")
                replace(self._path, f"{text.rstrip()}\n{_line(key)}", durable=True)
        except OSError as error:
            raise KeysUnreadable(f"the key file {self._path} cannot be written: {error}") from error
        self._reload()
        return key_id(key)

    def _find(self, wanted: str) -> AESGCM:
        if wanted not in self._keys:
            self._reload()
        if wanted not in self._keys:
            raise KeyUnknown(f"key {wanted} is missing from {self._path or ENVIRONMENT}: restore it from your backup")
        return self._keys[wanted]

    def _reload(self) -> None:
        if self._path is not None:
            with contextlib.suppress(KeysUnreadable):  # the keys at hand go on working
                self._keys = Keyring.load(self._path, create=False)._keys


def keyring(path: Path, environ: "os._Environ[str] | dict[str, str]", *, create: bool = True) -> Keyring:
    """The keys of this installation: from the environment if it holds any, or else from the file.

    Raises:
        KeysUnreadable: see `Keyring.load` and `Keyring.parse`.
    """
    text = environ.get(ENVIRONMENT, "").strip()
    return Keyring.parse(text) if text else Keyring.load(path, create=create)


def key_id_of(blob: bytes) -> str:
    """The id of the key that something was encrypted with."""
    return blob[len(_FORMAT) : _PREFIX_BYTES].hex()


def key_id(key: bytes) -> str:
    """The id of a key: 8 bytes of a digest, in hexadecimal."""
    return hashlib.sha256(b"kubechat key id\x00" + key).digest()[:_ID_BYTES].hex()


def _create(path: Path) -> None:
    """Two processes may start at once: the first to take the lock makes the key, the second finds it."""
    with locked(path):
        if not path.exists():
            replace(path, _NOTE + _line(secrets.token_bytes(KEY_BYTES)), durable=True)


def _line(key: bytes) -> str:
    return base64.b64encode(key).decode() + "\n"


def _keys_in(text: str, source: str) -> list[bytes]:
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    words = " ".join(lines).replace(",", " ").split()
    try:
        keys = [base64.b64decode(word, validate=True) for word in words]
    except (binascii.Error, ValueError) as error:
        raise KeysUnreadable(f"{source} holds something that is no base64 key") from error
    if any(len(key) != KEY_BYTES for key in keys):
        raise KeysUnreadable(f"every key in {source} must be {KEY_BYTES} bytes in base64")
    return keys
