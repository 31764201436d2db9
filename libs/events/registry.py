"""Names and versions of messages: the class of a record, and how old shapes are lifted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

Upcaster = Callable[[dict[str, Any]], dict[str, Any]]


class Unreadable(Exception):
    """A record that is no message of ours: unknown name or version, or another shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """A message class under its written-out name and version.

    *upcasters* lift older versions one step each: the first takes version 1 to 2.
    Storage format: a name never changes its meaning.
    """

    name: str
    version: int
    shape: type
    upcasters: tuple[Upcaster, ...] = field(default=())


class Registry:
    """All messages by name; refuses gaps and duplicates when it is built."""

    def __init__(self, messages: Iterable[Message]) -> None:
        self._by_name: dict[str, Message] = {}
        self._by_shape: dict[type, Message] = {}
        self._adapters: dict[type, TypeAdapter[Any]] = {}
        for message in messages:
            if message.name in self._by_name or message.shape in self._by_shape:
                raise ValueError(f"{message.name} or its class is registered twice")
            if len(message.upcasters) != message.version - 1:
                raise ValueError(f"{message.name} v{message.version} needs an upcaster a version")
            self._by_name[message.name] = message
            self._by_shape[message.shape] = message
            self._adapters[message.shape] = TypeAdapter(message.shape)

    def __iter__(self) -> Iterator[Message]:
        return iter(self._by_name.values())

    def message_of(self, data: object) -> Message:
        """Return the entry of a message object; KeyError for an unregistered class."""
        return self._by_shape[type(data)]

    def write(self, data: object) -> bytes:
        """Return the JSON body of a message object."""
        return self._adapters[type(data)].dump_json(data)

    def read(self, *, name: str, version: int, body: bytes | str) -> object:
        """Return the newest class of a record's body; raises Unreadable."""
        message = self._by_name.get(name)
        if message is None or not 1 <= version <= message.version:
            raise Unreadable(f"unknown message {name} version {version}")
        adapter = self._adapters[message.shape]
        try:
            if version == message.version:
                return adapter.validate_json(body)
            lifted = from_json(body)
            for upcast in message.upcasters[version - 1 :]:
                lifted = upcast(lifted)
            return adapter.validate_python(lifted)
        except (ValueError, LookupError, TypeError, AttributeError, ArithmeticError) as error:
            # Upcasters see what nobody has checked, and may stumble over it in any of these ways.
            raise Unreadable(f"{name} v{version} has the wrong shape: {_brief(error)}") from error


def _brief(error: Exception) -> str:
    """Name what is wrong without quoting values, which may be anything."""
    if isinstance(error, ValidationError):
        return "; ".join(
            f"{'.'.join(map(str, e['loc']))}: {e['type']}"
            for e in error.errors(include_input=False)
        )[:300]
    return type(error).__name__
