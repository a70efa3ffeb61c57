"""The keys that hide payloads: kept in the database, each wrapped by a key of the ring that is kept elsewhere.

A row names its data key in its header. A payload is bound to its log and row number by GCM's associated data, so that
it can be neither changed nor moved to another row.
"""

import secrets
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from sqlalchemy import Connection, func, insert, select

from audit import chain
from audit.keys import KEY_BYTES, NONCE_BYTES, DecryptionRefused, Keyring, KeyUnknown, key_id_of
from audit.tables import KEY


class DataKeys:
    """The data keys of one log. Without a ring nothing can be read or written."""

    def __init__(self, ring: Keyring | None) -> None:
        self._ring = ring
        self._opened: dict[str, AESGCM] = {}
        self.current = ""

    def choose(self, connection: Connection, log_id: str, at: str) -> None:
        """Write with the newest key of the database, or a fresh one if the ring was rotated since.

        Raises:
            KeyUnknown, DecryptionRefused: the newest key cannot be opened.
        """
        newest = connection.execute(select(KEY.c.id, KEY.c.wrapped).order_by(KEY.c.number.desc()).limit(1)).first()
        if newest is None or key_id_of(newest.wrapped) != self._required_ring().key_id:
            self.add(connection, log_id, at)
        else:
            self._open(connection, log_id, newest.id)
            self.current = newest.id

    def add(self, connection: Connection, log_id: str, at: str) -> str:
        """Make a fresh key and write with it from now on. Returns its id. The caller holds the writers' turn."""
        key, name = secrets.token_bytes(KEY_BYTES), secrets.token_hex(8)
        number = connection.scalar(select(func.coalesce(func.max(KEY.c.number), 0) + 1))
        wrapped = self._required_ring().encrypt(key, _key_place(log_id, name))
        connection.execute(insert(KEY).values(id=name, number=number, wrapped=wrapped, created_at=at))
        self._opened[name] = AESGCM(key)
        self.current = name
        return name

    def seal(self, log_id: str, seq: int, key_id: str, salt: bytes, payload: bytes) -> bytes:
        """Hide a row's salt and payload with a key that `choose` or `add` has opened."""
        nonce = secrets.token_bytes(NONCE_BYTES)
        return nonce + self._opened[key_id].encrypt(nonce, salt + payload, _place(log_id, seq))

    def unseal(self, connection: Connection, header: dict[str, Any], sealed: bytes) -> tuple[bytes, bytes]:
        """The salt of a stored row, and its payload in JCS.

        Raises:
            KeyUnknown: its key is not at hand.
            DecryptionRefused: it was changed, or moved here from another row.
        """
        log_id, seq = header["log_id"], header["seq"]
        key = self._open(connection, log_id, header["key_id"])
        try:
            plain = key.decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _place(log_id, seq))
        except (InvalidTag, ValueError) as error:
            raise DecryptionRefused("it was changed, or belongs to another row") from error
        return plain[: chain.SALT_BYTES], plain[chain.SALT_BYTES :]

    def _open(self, connection: Connection, log_id: str, name: str) -> AESGCM:
        if name not in self._opened:
            wrapped = connection.scalar(select(KEY.c.wrapped).where(KEY.c.id == name))
            if wrapped is None:
                raise KeyUnknown(f"the data key {name} is missing from the database")
            self._opened[name] = AESGCM(self._required_ring().decrypt(wrapped, _key_place(log_id, name)))
        return self._opened[name]

    def _required_ring(self) -> Keyring:
        if self._ring is None:
            raise KeyUnknown("the keys are not at hand")
        return self._ring


def _place(log_id: str, seq: int) -> bytes:
    """What a payload is bound to, in JCS; log ids are hexadecimal."""
    return f'["audit payload","{log_id}",{seq}]'.encode()


def _key_place(log_id: str, name: str) -> bytes:
    return chain.canonical(["audit data key", log_id, name])
