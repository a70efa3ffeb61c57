"""Accounts, access, threads, approvals and buttons."""

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    op.create_table(
        "account",
        sa.Column("user_key", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "access",
        sa.Column("user_key", sa.Text, primary_key=True),
        sa.Column("cluster", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
    )
    op.create_table(
        "thread",
        sa.Column("thread_key", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("at", _TIME, nullable=False, index=True),
    )
    op.create_table(
        "seen",
        sa.Column("message_key", sa.Text, primary_key=True),
        sa.Column("at", _TIME, nullable=False, index=True),
    )
    op.create_table(
        "approval",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False, index=True),
        sa.Column("version", sa.Integer, nullable=False),
        sa.Column("requester", sa.Text, nullable=False, index=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("requested_at", _TIME, nullable=False, index=True),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("worker", sa.Text, nullable=False),
        sa.Column("busy_until", _TIME),
    )
    op.create_table(
        "vote",
        sa.Column("approval_id", sa.Text, sa.ForeignKey("approval.id"), primary_key=True),
        sa.Column("person", sa.Text, primary_key=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("at", _TIME, nullable=False),
    )
    op.create_table(
        "button",
        sa.Column("id", sa.Text, primary_key=True),
        sa.Column("approval_id", sa.Text, index=True),
        sa.Column("sealed", sa.LargeBinary, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False, index=True),
        sa.Column("used_at", _TIME),
    )
