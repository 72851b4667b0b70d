"""Simplifies JSON schemas of every dialect, and finds the arguments that fit one."""

from typing import Any

from offline_model.conversation import BadRequest


def plain_schema(schema: Any, root: Any = None, within: tuple[str, ...] = ()) -> dict[str, Any]:
    """A schema without references, combinations and Gemini's upper-case types; `nullable` marks a null type.

    The first of several alternatives counts. A recursive schema ends where it recurs. Raises: BadRequest.
    """
    if not isinstance(schema, dict):  # `true` and `false` are schemas, too
        return {}
    root = root or schema
    kinds = schema.get("type") or []
    kinds = [str(kind).lower() for kind in (kinds if isinstance(kinds, list) else [kinds])]
    options = [plain_schema(option, root, within) for option in schema.get("anyOf") or schema.get("oneOf") or []]
    parts = [plain_schema(part, root, within) for part in schema.get("allOf") or []]
    parts += [option for option in options if option.get("type", "") != "null"][:1]
    if (ref := schema.get("$ref")) and ref not in within:
        within = (*within, ref)
        parts.append(plain_schema(_resolve(root, ref), root, within))
    plain: dict[str, Any] = {}
    for part in parts:
        plain = {**plain, **part, **_joined(plain, part)}
    combining = ("$ref", "$defs", "allOf", "anyOf", "oneOf", "type")
    own = {key: value for key, value in schema.items() if key not in combining}
    if "properties" in own:
        own["properties"] = {name: plain_schema(sub, root, within) for name, sub in own["properties"].items()}
    plain = {**plain, **own, **_joined(plain, own)}
    if named := [kind for kind in kinds if kind != "null"] or kinds:
        plain["type"] = named[0]
    if len(named) < len(kinds) or any(option.get("type") == "null" for option in options):
        plain["nullable"] = True
    return plain


def _joined(one: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    properties = {**one.get("properties", {}), **other.get("properties", {})}
    required = list(dict.fromkeys([*one.get("required", []), *other.get("required", [])]))
    return {"properties": properties, "required": required} if properties else {}


def _resolve(root: Any, ref: str) -> Any:
    try:
        for key in ref.removeprefix("#/").split("/"):
            root = root[key]
    except (KeyError, TypeError):
        raise BadRequest(f"tools: cannot resolve the $ref {ref!r}") from None
    return root


def fill(schema: dict[str, Any], value: dict[str, Any]) -> dict[str, Any]:
    """A tool's arguments from a JSON object: each by name, or the whole object where an object is required.

    {} if the object has no argument, or lacks a required one. OpenAI's strict schemas require every parameter; optional
    ones are nullable there, and become null.
    """
    arguments: dict[str, Any] = {}
    required = schema.get("required", [])
    for name, parameter in schema.get("properties", {}).items():
        if name in value:
            arguments[name] = _select(parameter, value[name])
        elif name in required and parameter.get("properties"):
            arguments[name] = _select(parameter, value)
    found = {name: argument for name, argument in arguments.items() if argument is not None}
    missing = [name for name in required if name not in found]
    if not found or not all(schema["properties"].get(name, {}).get("nullable") for name in missing):
        return {}
    return found | dict.fromkeys(missing)


def _select(schema: dict[str, Any], value: Any) -> Any:
    """The part of a value that the schema names; None if a required property is missing."""
    if "properties" not in schema:
        return value
    if not isinstance(value, dict) or not all(name in value for name in schema.get("required", [])):
        return None
    return {name: _select(sub, value[name]) for name, sub in schema["properties"].items() if name in value}


def not_a_number(name: str) -> float:
    """A `parse_constant` for `json`: `NaN` and `Infinity` are not JSON. Raises: ValueError."""
    raise ValueError(f"{name} is not JSON")
