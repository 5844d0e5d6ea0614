"""Whether two versions of an event's schema can read each other's events, in both directions.

Readers and writers are not released at one moment, and a release may be taken back: so an old reader meets new events
as often as a new reader meets old ones. That leaves few changes: a field with a default may come or go, and so may a
symbol of an enum that has a default. Avro's promotions (int to long) work in one direction only and are refused;
so is a change of a logical type, which Avro allows and which silently changes what a number means.
"""

from __future__ import annotations

from typing import Any

Schema = Any  # a parsed Avro schema: a name, a list (union) or a mapping


def incompatibilities(one: Schema, other: Schema, path: str = "") -> list[str]:
    """Why two versions cannot read each other, each with the path of its field; empty when they can."""
    branches, others = _branches(one), _branches(other)
    if branches.keys() != others.keys():
        return [f"{path or 'the event'}: {_listed(branches)} became {_listed(others)}"]
    return [
        problem for kind, branch in branches.items() for problem in _incompatibilities(kind, branch, others[kind], path)
    ]


def _incompatibilities(kind: str, one: Schema, other: Schema, path: str) -> list[str]:
    match kind.partition(" ")[0]:
        case "record" | "error":
            return _of_records(one, other, path)
        case "enum":
            return _of_enums(one, other, path)
        case "array":
            return incompatibilities(one["items"], other["items"], f"{path}[].")
        case "map":
            return incompatibilities(one["values"], other["values"], f"{path}{{}}")
    return []


def _of_records(one: Schema, other: Schema, path: str) -> list[str]:
    ours, theirs = ({field["name"]: field for field in schema["fields"]} for schema in (one, other))
    problems = [
        f"{path}{name}: has no default, so it can neither come nor go"
        for name in sorted(ours.keys() ^ theirs.keys())
        if "default" not in (ours.get(name) or theirs[name])
    ]
    for name in ours.keys() & theirs.keys():
        problems += incompatibilities(ours[name]["type"], theirs[name]["type"], f"{path}{name}.")
    return problems


def _of_enums(one: Schema, other: Schema, path: str) -> list[str]:
    return [
        f"{path}{symbol}: an enum without a default cannot read a symbol that it does not have"
        for reader, writer in ((one, other), (other, one))
        if "default" not in reader
        for symbol in writer["symbols"]
        if symbol not in reader["symbols"]
    ]


def _branches(schema: Schema) -> dict[str, Schema]:
    """The branches of a union by what identifies each; a schema that is no union has one."""
    return {_identity(branch): branch for branch in (schema if isinstance(schema, list) else [schema])}


def _identity(schema: Schema) -> str:
    if isinstance(schema, str):
        return schema
    parts = (schema["type"], schema.get("name"), schema.get("size"), schema.get("logicalType"))
    return " ".join(str(part) for part in parts if part is not None)


def _listed(branches: dict[str, Schema]) -> str:
    return " or ".join(branches)
