"""The audit log: rows, payloads, head, data keys, and the triggers that keep rows as they were written."""

import uuid

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_SEQ = sa.BigInteger().with_variant(sa.Integer, "sqlite")


def upgrade() -> None:
    op.create_table(
        "audit_row",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("log_id", sa.Text, nullable=False),
        sa.Column("prev_hash", sa.Text, nullable=False, unique=True),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.Column("clock_back_us", sa.BigInteger, nullable=False),
        sa.Column("platform", sa.Text, nullable=False),
        sa.Column("workspace", sa.Text, nullable=False),
        sa.Column("user_id", sa.Text, nullable=False),
        sa.Column("identity", sa.Text),
        sa.Column("kind", sa.Text, nullable=False),
        sa.Column("command_digest", sa.Text),
        sa.Column("approval_id", sa.Text),
        sa.Column("execution_id", sa.Text),
        sa.Column("key_id", sa.Text, nullable=False),
        sa.Column("payload_commit", sa.Text, nullable=False),
    )
    op.create_index("audit_row_by_time", "audit_row", ["at"])
    op.create_index("audit_row_by_actor", "audit_row", ["user_id", "seq"])
    op.create_index("audit_row_by_approval", "audit_row", ["approval_id"])
    op.create_index("audit_row_by_execution", "audit_row", ["execution_id", "kind", "seq"])
    op.create_table(
        "audit_payload",
        sa.Column("seq", _SEQ, primary_key=True, autoincrement=False),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    head = op.create_table(
        "audit_head",
        sa.Column("id", sa.Integer, primary_key=True, autoincrement=False),
        sa.Column("log_id", sa.Text, nullable=False),
        sa.Column("seq", sa.BigInteger, nullable=False),
        sa.Column("hash", sa.Text, nullable=False),
        sa.Column("at", sa.Text, nullable=False),
        sa.CheckConstraint("id = 1", name="audit_head_is_one_row"),
    )
    op.create_table(
        "audit_key",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("number", sa.Integer, nullable=False, unique=True),
        sa.Column("wrapped", sa.LargeBinary, nullable=False),
        sa.Column("created_at", sa.Text, nullable=False),
    )
    op.bulk_insert(head, [{"id": 1, "log_id": uuid.uuid4().hex, "seq": 0, "hash": "0" * 64, "at": ""}])
    statements = _SQLITE_TRIGGERS if op.get_bind().dialect.name == "sqlite" else _POSTGRESQL_TRIGGERS
    for statement in statements:
        op.execute(statement)


def _sqlite_trigger(name: str, when: str, condition: str = "") -> str:
    refusal = "SELECT RAISE(ABORT, 'the audit log is append-only')"
    return f"CREATE TRIGGER {name} BEFORE {when} FOR EACH ROW {condition} BEGIN {refusal}; END"


# INSERT OR REPLACE deletes without firing DELETE triggers, so a second row of the same number is refused as well.
_SQLITE_TRIGGERS = [
    _sqlite_trigger("audit_row_no_update", "UPDATE ON audit_row"),
    _sqlite_trigger("audit_row_no_delete", "DELETE ON audit_row"),
    _sqlite_trigger(
        "audit_row_no_replace",
        "INSERT ON audit_row",
        "WHEN EXISTS (SELECT 1 FROM audit_row WHERE seq = NEW.seq OR prev_hash = NEW.prev_hash)",
    ),
    _sqlite_trigger("audit_payload_no_update", "UPDATE ON audit_payload"),
    _sqlite_trigger("audit_head_no_delete", "DELETE ON audit_head"),
    _sqlite_trigger("audit_head_forward_only", "UPDATE ON audit_head", "WHEN NEW.seq <= OLD.seq"),
]

_POSTGRESQL_TRIGGERS = [
    """CREATE FUNCTION audit_append_only() RETURNS trigger LANGUAGE plpgsql AS
       $$ BEGIN RAISE EXCEPTION 'the audit log is append-only'; END $$""",
    """CREATE TRIGGER audit_row_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON audit_row
       FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()""",
    """CREATE TRIGGER audit_payload_no_update BEFORE UPDATE OR TRUNCATE ON audit_payload
       FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()""",
    """CREATE TRIGGER audit_head_no_delete BEFORE DELETE OR TRUNCATE ON audit_head
       FOR EACH STATEMENT EXECUTE FUNCTION audit_append_only()""",
    """CREATE TRIGGER audit_head_forward_only BEFORE UPDATE ON audit_head
       FOR EACH ROW WHEN (NEW.seq <= OLD.seq) EXECUTE FUNCTION audit_append_only()""",
]
