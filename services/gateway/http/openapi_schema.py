"""JSON schemas in the dialect of OpenAPI 3.0.3: small builders, and pydantic's lifted into it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel

Schema = dict[str, Any]

# Said by a model's class, but not about what is sent.
_OF_THE_CLASS = ("title", "additionalProperties")
# What pydantic calls a rule that it could not tie to a type: one that stands behind a validator.
_RULES = {"ge": "minimum", "le": "maximum"}


def text(description: str = "", *, example: str | None = None, **rules: object) -> Schema:
    """Return the schema of a text."""
    return _made("string", description, example, rules)


def whole(description: str = "", *, example: int | None = None, **rules: object) -> Schema:
    """Return the schema of a whole number."""
    return _made("integer", description, example, rules)


def truth(description: str = "", *, example: bool | None = None) -> Schema:
    """Return the schema of a truth value."""
    return _made("boolean", description, example, {})


def money(description: str, *, example: float | None = None) -> Schema:
    """Return the schema of an amount: a number with at most two decimals, in ``currency``."""
    return _made("number", description, example, {})


def word(description: str, options: Sequence[str], *, example: str | None = None) -> Schema:
    """Return the schema of one of a few words."""
    return _made("string", description, example or options[0], {"enum": list(options)})


def instant(description: str) -> Schema:
    """Return the schema of an instant in UTC."""
    return text(description, example="2026-01-31T08:00:00.000000Z", format="date-time")


def day(description: str) -> Schema:
    """Return the schema of a date in Hong Kong."""
    return text(description, example="2026-01-31", format="date")


def rows(schema: Schema, description: str = "") -> Schema:
    """Return the schema of a list."""
    return {"type": "array", "items": schema} | _said(description)


def fields(description: str = "", optional: Sequence[str] = (), /, **named: Schema) -> Schema:
    """Return the schema of an object with *named* fields; those in *optional* may be missing."""
    required = [name for name in named if name not in optional]
    return (
        {"type": "object", "properties": named}
        | ({"required": required} if required else {})
        | _said(description)
    )


def keyed(values: Schema, description: str, *, example: object = None) -> Schema:
    """Return the schema of an object whose fields are named by data."""
    made: Schema = {"type": "object", "additionalProperties": values} | _said(description)
    return made if example is None else {**made, "example": example}


def nullable(schema: Schema) -> Schema:
    """Return a schema that takes null as well."""
    if "$ref" in schema:
        return {"nullable": True, "allOf": [schema]}
    return {**schema, "nullable": True}


def component(name: str) -> Schema:
    """Refer to a schema of the document's components."""
    return {"$ref": f"#/components/schemas/{name}"}


def of_model(model: type[BaseModel]) -> Schema:
    """Return the schema of a request's body: what pydantic checks, in the older dialect."""
    schema = model.model_json_schema(mode="validation")
    definitions = schema.pop("$defs", {})
    lifted = _lifted(schema, definitions)
    assert isinstance(lifted, dict)
    extra = model.model_config.get("json_schema_extra")
    # Pydantic sorts the fields of an example; a reader wants them as they were written.
    return lifted | extra if isinstance(extra, dict) else lifted


def _lifted(node: object, definitions: Mapping[str, object]) -> Any:
    """Lower a schema of draft 2020-12 to that of OpenAPI 3.0, references written out."""
    if isinstance(node, list):
        return [_lifted(each, definitions) for each in node]
    if not isinstance(node, dict):
        return node
    if "$ref" in node:
        referred = _lifted(definitions[node["$ref"].rsplit("/", 1)[-1]], definitions)
        return referred | {key: value for key, value in node.items() if key != "$ref"}
    if "anyOf" in node:
        return _union(node, definitions)
    lifted: Schema = {}
    for key, value in node.items():
        if key == "properties":
            lifted[key] = {name: _lifted(each, definitions) for name, each in value.items()}
        elif key == "examples":
            lifted["example"] = value[0]
        elif key not in _OF_THE_CLASS and not (key == "default" and value is None):
            lifted[_RULES.get(key) or _length(key, node) or key] = _lifted(value, definitions)
    return lifted


def _length(key: str, node: Schema) -> str | None:
    unit = "Items" if node.get("type") == "array" else "Length"
    return {"min_length": f"min{unit}", "max_length": f"max{unit}"}.get(key)


def _union(node: Schema, definitions: Mapping[str, object]) -> Schema:
    rest = {key: value for key, value in node.items() if key != "anyOf"}
    options = [option for option in node["anyOf"] if option != {"type": "null"}]
    outer = _lifted(rest, definitions)
    made = (
        _lifted(options[0], definitions)
        if len(options) == 1
        else {"anyOf": _lifted(options, definitions)}
    )
    if len(options) < len(node["anyOf"]):
        made = {**made, "nullable": True}
    return {**made, **outer}


def _made(kind: str, description: str, example: object, rules: Mapping[str, object]) -> Schema:
    schema: Schema = {"type": kind, **rules} | _said(description)
    return schema if example is None else {**schema, "example": example}


def _said(description: str) -> Schema:
    return {"description": description} if description else {}
