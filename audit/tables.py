"""The tables of the audit log. The columns of a row are its header: what is hashed is rebuilt from them alone."""

from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, Column, Index, Integer, LargeBinary, Table, Text
from sqlmodel import Field, SQLModel

_SEQ = BigInteger().with_variant(Integer, "sqlite")


class RowRecord(SQLModel, table=True):
    """One row of the chain. Never changed, never deleted; triggers refuse both."""

    __tablename__ = "audit_row"
    __table_args__ = (
        Index("audit_row_by_time", "at"),
        Index("audit_row_by_actor", "user_id", "seq"),
        Index("audit_row_by_approval", "approval_id"),
        Index("audit_row_by_execution", "execution_id", "kind", "seq"),
    )

    seq: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    version: int
    log_id: str = Field(sa_type=Text)
    prev_hash: str = Field(sa_type=Text, unique=True)
    hash: str = Field(sa_type=Text)
    at: str = Field(sa_type=Text)
    clock_back_us: int = Field(sa_type=BigInteger)
    platform: str = Field(sa_type=Text)
    workspace: str = Field(sa_type=Text)
    user_id: str = Field(sa_type=Text)
    identity: str | None = Field(sa_type=Text)
    kind: str = Field(sa_type=Text)
    command_digest: str | None = Field(sa_type=Text)
    approval_id: str | None = Field(sa_type=Text)
    execution_id: str | None = Field(sa_type=Text)
    key_id: str = Field(sa_type=Text)
    payload_commit: str = Field(sa_type=Text)


class PayloadRecord(SQLModel, table=True):
    """A row's salt and payload, encrypted together. Erasing a payload deletes its record; it is never changed."""

    __tablename__ = "audit_payload"

    seq: int = Field(sa_column=Column(_SEQ, primary_key=True, autoincrement=False))
    sealed: bytes = Field(sa_type=LargeBinary)


class HeadRecord(SQLModel, table=True):
    """The last row. The one row of this table is what writers lock, so that they go one after another."""

    __tablename__ = "audit_head"
    __table_args__ = (CheckConstraint("id = 1", name="audit_head_is_one_row"),)

    id: int = Field(sa_column=Column(Integer, primary_key=True, autoincrement=False))
    log_id: str = Field(sa_type=Text)
    seq: int = Field(sa_type=BigInteger)
    hash: str = Field(sa_type=Text)
    at: str = Field(sa_type=Text)


class KeyRecord(SQLModel, table=True):
    """A data key, wrapped by a key of the key ring. Rows name the data key that hides their payload."""

    __tablename__ = "audit_key"

    id: str = Field(sa_column=Column(Text, primary_key=True))
    number: int = Field(unique=True)
    wrapped: bytes = Field(sa_type=LargeBinary)
    created_at: str = Field(sa_type=Text)


def _table(name: str) -> Table:
    return SQLModel.metadata.tables[name]


ROW, PAYLOAD, HEAD, KEY = _table("audit_row"), _table("audit_payload"), _table("audit_head"), _table("audit_key")

_ACTOR = {"platform": "platform", "workspace": "workspace", "user": "user_id", "identity": "identity"}
_PLAIN = [column.name for column in ROW.columns if column.name not in {"hash", *_ACTOR.values()}]


def header_of(columns: dict[str, Any]) -> dict[str, Any]:
    """The header of a stored row, as it is hashed."""
    header = {name: columns[name] for name in _PLAIN}
    return header | {"actor": {name: columns[column] for name, column in _ACTOR.items()}}


def columns_of(header: dict[str, Any]) -> dict[str, Any]:
    """The columns in which a header is stored, without `hash`."""
    return {name: header[name] for name in _PLAIN} | {_ACTOR[name]: value for name, value in header["actor"].items()}
