"""The key ring: files, rotation, and refusal of what was changed."""

import base64
import multiprocessing
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from audit.keys import DecryptionRefused, Keyring, KeysUnreadable, KeyUnknown, keyring


def test_a_missing_key_file_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "keyring"
    ring = Keyring.load(path)
    assert path.stat().st_mode & 0o777 == 0o600
    assert path.parent.stat().st_mode & 0o777 == 0o700
    assert Keyring.load(path).decrypt(ring.encrypt(b"secret", b"here"), b"here") == b"secret"


def test_a_missing_key_file_is_not_made_when_only_reading(tmp_path: Path) -> None:
    with pytest.raises(KeysUnreadable, match="cannot be read"):
        Keyring.load(tmp_path / "keyring", create=False)
    assert not (tmp_path / "keyring").exists()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "no key"),
        ("# only a note\n", "no key"),
        ("not base64!\n", "no base64 key"),
        (base64.b64encode(b"short").decode(), "32 bytes"),
    ],
)
def test_a_malformed_key_file_is_refused_with_the_reason(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "keyring"
    path.write_text(text)
    path.chmod(0o600)
    with pytest.raises(KeysUnreadable, match=says):
        Keyring.load(path)


def test_a_key_file_that_others_may_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    Keyring.load(path)
    path.chmod(0o640)
    with pytest.raises(KeysUnreadable, match="chmod 600"):
        Keyring.load(path)


def test_rotation_encrypts_with_the_new_key_and_old_blobs_stay_readable(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    ring, elsewhere = Keyring.load(path), Keyring.load(path)
    old_id, old = ring.key_id, ring.encrypt(b"old", b"")
    assert ring.rotate() == ring.key_id != old_id
    new = ring.encrypt(b"new", b"")
    for reader in (ring, elsewhere, Keyring.load(path)):  # `elsewhere` was loaded before the rotation
        assert (reader.decrypt(old, b""), reader.decrypt(new, b"")) == (b"old", b"new")
    assert elsewhere.key_id == ring.key_id


def _rotate(path: Path) -> str:
    return Keyring.load(path).rotate()


def test_keys_rotated_by_several_processes_at_once_are_all_kept(tmp_path: Path) -> None:
    path = tmp_path / "keyring"
    with multiprocessing.get_context("spawn").Pool(4) as pool:
        made = pool.map(_rotate, [path] * 8)
    ids = {line for line in path.read_text().splitlines() if not line.startswith("#")}
    assert len(set(made)) == 8
    assert len(ids) == 9


def test_a_blob_of_another_ring_names_the_missing_key(tmp_path: Path) -> None:
    blob = Keyring.load(tmp_path / "one").encrypt(b"secret", b"")
    with pytest.raises(KeyUnknown, match="restore it from your backup"):
        Keyring.load(tmp_path / "two").decrypt(blob, b"")


@given(st.data())
def test_no_changed_byte_goes_unnoticed(data: st.DataObject) -> None:
    ring = Keyring([bytes(32)])
    blob = bytearray(ring.encrypt(b"kubeconfig", b"alice"))
    blob[data.draw(st.integers(0, len(blob) - 1))] ^= data.draw(st.integers(1, 255))
    with pytest.raises((DecryptionRefused, KeyUnknown)):
        ring.decrypt(bytes(blob), b"alice")


@pytest.mark.parametrize("blob", [b"", b"\x01", bytes(30), b"\x01" + bytes(40)])
def test_bytes_that_were_never_encrypted_are_refused(blob: bytes) -> None:
    with pytest.raises((DecryptionRefused, KeyUnknown)):
        Keyring([bytes(32)]).decrypt(blob, b"")


def test_what_was_encrypted_for_one_place_is_refused_in_another() -> None:
    ring = Keyring([bytes(32)])
    with pytest.raises(DecryptionRefused):
        ring.decrypt(ring.encrypt(b"kubeconfig", b"alice"), b"bob")


def test_keys_of_the_environment_come_before_the_file(tmp_path: Path) -> None:
    first, second = (base64.b64encode(bytes([number]) * 32).decode() for number in (1, 2))
    ring = keyring(tmp_path / "keyring", {"KUBECHAT_KEYS": f"{first},{second}"})
    assert ring.key_id == Keyring.parse(second).key_id
    assert ring.decrypt(Keyring.parse(first).encrypt(b"old", b""), b"") == b"old"
    assert not (tmp_path / "keyring").exists()
    with pytest.raises(KeysUnreadable, match="KUBECHAT_KEYS"):
        ring.rotate()


def test_keys_do_not_show_in_text() -> None:
    assert base64.b64encode(bytes(32)).decode() not in repr(Keyring([bytes(32)]))
