"""Finds what of a changed API document would break a client that was made for the former one.

A client breaks when what it sends is refused now, or when what it reads is missing or of another
kind now. Additions are fine: clients pass over what they do not know.

The words of an answer are closed: a client has a branch for each, so one word less breaks it (its
branch is dead: the word was renamed, or stands under another status), and so does one word more.
Only an error's `code` may get more words: its client falls back on the status.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

Json = Mapping[str, Any]

METHODS = ("get", "post", "put", "patch", "delete")
_NARROWER_IF_HIGHER = ("minimum", "minLength", "minItems")
_NARROWER_IF_LOWER = ("maximum", "maxLength", "maxItems")
_OPEN_WORDS = "code"
_DEPTH_MAX = 20


def breaking_changes(before: Json, after: Json) -> list[str]:
    """Return each breaking change as a sentence that says where it is."""
    return list(_Comparison(before, after).run())


class _Comparison:
    def __init__(self, before: Json, after: Json) -> None:
        self._before = before
        self._after = after

    def run(self) -> Iterator[str]:
        for path, old_methods in self._before["paths"].items():
            new_methods = self._after["paths"].get(path)
            if new_methods is None:
                yield f"{path}: the path is gone"
                continue
            for method in METHODS:
                if method in old_methods:
                    where = f"{method.upper()} {path}"
                    if method not in new_methods:
                        yield f"{where}: the method is gone"
                    else:
                        yield from self._operation(where, old_methods[method], new_methods[method])

    def _operation(self, where: str, old: Json, new: Json) -> Iterator[str]:
        yield from self._parameters(where, old, new)
        yield from self._bodies(where, old, new)
        for status, answer in old["responses"].items():
            told = new["responses"].get(status)
            if told is None:
                yield f"{where}: the status {status} is gone"
                continue
            yield from self._headers(f"{where} {status}", answer, told)
            for media, content in answer.get("content", {}).items():
                if media not in told.get("content", {}):
                    yield f"{where} {status}: {media} is gone"
                    continue
                yield from self._answer(
                    f"{where} {status}", content["schema"], told["content"][media]["schema"], 0
                )
        if new.get("security") and not old.get("security"):
            yield f"{where}: a key is needed now"

    def _headers(self, where: str, old: Json, new: Json) -> Iterator[str]:
        for name, header in old.get("headers", {}).items():
            if name not in new.get("headers", {}):
                yield f"{where}: the header {name} is gone"
                continue
            former = _resolve(header, self._before)
            now = _resolve(new["headers"][name], self._after)
            yield from self._answer(f"{where} header {name}", former["schema"], now["schema"], 0)

    def _parameters(self, where: str, old: Json, new: Json) -> Iterator[str]:
        known = {(each["name"], each["in"]): each for each in self._resolved(old, self._before)}
        now = {(each["name"], each["in"]): each for each in self._resolved(new, self._after)}
        for key, parameter in now.items():
            former = known.get(key)
            if parameter.get("required") and not (former or {}).get("required"):
                yield f"{where}: the parameter {key[0]} is required now"
            if former is not None:
                yield from self._request(
                    f"{where} parameter {key[0]}", former["schema"], parameter["schema"], 0
                )
        for name, _ in known.keys() - now.keys():
            yield f"{where}: the parameter {name} is gone"

    def _resolved(self, operation: Json, document: Json) -> list[Json]:
        return [_resolve(each, document) for each in operation.get("parameters", [])]

    def _bodies(self, where: str, old: Json, new: Json) -> Iterator[str]:
        former, now = old.get("requestBody"), new.get("requestBody")
        if now is None:
            return
        if former is None:
            if now.get("required"):
                yield f"{where}: a body is required now"
            return
        for media, content in former["content"].items():
            if media not in now["content"]:
                yield f"{where}: a body of {media} is not taken any more"
            else:
                yield from self._request(
                    f"{where} body", content["schema"], now["content"][media]["schema"], 0
                )

    def _request(self, where: str, old: Json, new: Json, depth: int) -> Iterator[str]:
        """Compare what may be sent: it must not become less, so each former choice is taken."""
        if depth > _DEPTH_MAX:
            return
        now = _choices(new, self._after)
        for former in _choices(old, self._before):
            yield from _fewest(
                self._sent(where, former, each, depth) for each in _alike(former, now)
            )

    def _sent(self, where: str, old: Json, new: Json, depth: int) -> Iterator[str]:
        yield from _kinds(where, old, new)
        if old.get("nullable") and not new.get("nullable"):
            yield f"{where}: null is not taken any more"
        if "enum" in new:
            for gone in [
                each for each in old.get("enum", ["any other"]) if each not in new["enum"]
            ]:
                yield f"{where}: {gone} is not taken any more"
        for rule in _NARROWER_IF_HIGHER:
            if new.get(rule, 0) > old.get(rule, 0):
                yield f"{where}: {rule} was raised"
        for rule in _NARROWER_IF_LOWER:
            if new.get(rule, float("inf")) < old.get(rule, float("inf")):
                yield f"{where}: {rule} was lowered"
        if new.get("pattern") not in (None, old.get("pattern")):
            yield f"{where}: the pattern is another"
        for name in set(new.get("required", ())) - set(old.get("required", ())):
            yield f"{where}: the field {name} is required now"
        for name, former in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}: the field {name} is gone"
            else:
                yield from self._request(
                    f"{where}.{name}", former, new["properties"][name], depth + 1
                )
        if "items" in old and "items" in new:
            yield from self._request(f"{where}[]", old["items"], new["items"], depth + 1)

    def _answer(self, where: str, old: Json, new: Json, depth: int) -> Iterator[str]:
        """Compare what may be read: nothing of it may be missing, or be what it never was."""
        if depth > _DEPTH_MAX:
            return
        former = _choices(old, self._before)
        for now in _choices(new, self._after):
            yield from _fewest(self._read(where, each, now, depth) for each in _alike(now, former))

    def _read(self, where: str, old: Json, new: Json, depth: int) -> Iterator[str]:
        yield from _kinds(where, old, new)
        if new.get("nullable") and not old.get("nullable"):
            yield f"{where}: may be null now"
        yield from _words(where, old, new)
        for name in set(old.get("required", ())) - set(new.get("required", ())):
            yield f"{where}: the field {name} may be missing now"
        for name, former in old.get("properties", {}).items():
            if name not in new.get("properties", {}):
                yield f"{where}: the field {name} is gone"
            else:
                yield from self._answer(
                    f"{where}.{name}", former, new["properties"][name], depth + 1
                )
        for inner in ("items", "additionalProperties"):
            if isinstance(old.get(inner), Mapping) and isinstance(new.get(inner), Mapping):
                yield from self._answer(f"{where}[]", old[inner], new[inner], depth + 1)


def _kinds(where: str, old: Json, new: Json) -> Iterator[str]:
    for rule in ("type", "format"):
        if old.get(rule) != new.get(rule) and not (rule == "format" and rule not in new):
            yield f"{where}: the {rule} was {old.get(rule)} and is {new.get(rule)}"


def _words(where: str, old: Json, new: Json) -> Iterator[str]:
    """Compare the words that a client decides by."""
    if "enum" not in old:
        return
    if "enum" not in new:
        yield f"{where}: any word may be answered now"
        return
    for word in old["enum"]:
        if word not in new["enum"]:
            yield f"{where}: {word} is not answered any more"
    if not where.endswith(f".{_OPEN_WORDS}"):
        for word in new["enum"]:
            if word not in old["enum"]:
                yield f"{where}: {word} may be answered now"


def _choices(schema: Json, document: Json) -> list[Json]:
    """Return each shape that a value may have, with what stands beside the choice."""
    whole = _resolve(schema, document)
    for rule in ("anyOf", "oneOf"):
        if rule in whole:
            beside = {key: value for key, value in whole.items() if key != rule}
            return [
                choice
                for option in whole[rule]
                for choice in _choices({**beside, **_resolve(option, document)}, document)
            ]
    return [whole]


def _alike(one: Json, choices: list[Json]) -> list[Json]:
    """Return the choices of the same type; all of them if there is none."""
    return [each for each in choices if each.get("type") == one.get("type")] or choices


def _fewest(comparisons: Iterable[Iterator[str]]) -> list[str]:
    """Return what the choice that fits best has against it."""
    return min((list(found) for found in comparisons), key=len)


def _resolve(schema: Json, document: Json) -> Json:
    """Return what a reference leads to, parts of an `allOf` put together."""
    while "$ref" in schema:
        found: Any = document
        for step in schema["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        schema = found
    if "allOf" not in schema:
        return schema
    whole: dict[str, Any] = {key: value for key, value in schema.items() if key != "allOf"}
    for part in schema["allOf"]:
        resolved = _resolve(part, document)
        properties = {**whole.get("properties", {})}
        for name, value in resolved.get("properties", {}).items():
            properties[name] = {**properties.get(name, {}), **value}
        required = [*whole.get("required", ()), *resolved.get("required", ())]
        whole = {**resolved, **whole, "properties": properties, "required": required}
    return whole
