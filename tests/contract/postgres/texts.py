"""Texts that break stores: those that must come back unchanged and those that no store can hold."""

from __future__ import annotations

INJECTIONS = (
    "'); DROP TABLE users; --",
    '"; DELETE FROM audit_logs; --',
    "$1 $2 %s %(id)s {0} :name",
    "\\'; SELECT pg_sleep(9); \\",
    '{"a": [1, null]}, (1,2)',
    "Ünïcode 페이커 🎮 \u202e",
)
UNSTORABLE = ("a\0b", "half \ud83c")
