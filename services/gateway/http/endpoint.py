"""What an endpoint is: one declaration from which requests are checked and the document is made."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from pydantic import BaseModel

from libs.runtime.problem import Word
from services.gateway.app.call import Call, Write
from services.gateway.domain.refusal import Refusal
from services.gateway.http.exchange import JSON, Answer, Exchange
from services.gateway.http.parameters import Parameter, names_of

Public: TypeAlias = Callable[[Exchange], Awaitable[Answer | Refusal]]
Reading: TypeAlias = Callable[[Exchange, Call], Awaitable[Answer | Refusal]]
Writing: TypeAlias = Callable[[Exchange, Write], Awaitable[Answer | Refusal]]


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """An answer that is no refusal: what it means and what it carries.

    *shape* names a schema of `openapi_answers`; *headers* are those that not every answer
    has. *page* is set where browsers get the same as HTML. *links* say where the answer
    leads: a name, the operation, and which of the answer's fields is which parameter of its
    path.
    """

    status: int
    description: str
    shape: str | None = None
    headers: tuple[str, ...] = ()
    example: object = None
    content_type: str = JSON
    page: bool = False
    links: Mapping[str, tuple[str, Mapping[str, str]]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What a reader is told of an endpoint.

    *words* are the refusals that not every endpoint of its kind has; *request_headers*
    likewise.
    """

    id: str
    tag: str
    summary: str
    description: str
    successes: tuple[Success, ...]
    words: tuple[Word, ...] = ()
    request_headers: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method on one path. Exactly one of *public*, *read* and *write* is set.

    The caller needs one of *permissions*. A *body* makes an empty one an error. A use
    case that *keeps_deadline* ends by itself at its call's deadline; others are ended.
    Without *operation* it is no part of the contract and stands in no document.
    """

    method: str
    path: str
    operation: Operation | None = None
    permissions: tuple[str, ...] = ()
    query: tuple[Parameter[Any], ...] = ()
    body: type[BaseModel] | None = None
    keeps_deadline: bool = False
    public: Public | None = None
    read: Reading | None = None
    write: Writing | None = None
    query_names: frozenset[str] = field(init=False, compare=False)
    needs_body: bool = field(init=False, compare=False)
    # Filled in with the methods (GET has HEAD beside it) and statuses that occur: a lookup by
    # labels costs more than the rest.
    observers: dict[tuple[str, int], Callable[..., None]] = field(
        default_factory=dict, compare=False
    )

    def __post_init__(self) -> None:
        object.__setattr__(self, "query_names", names_of(self.query))
        object.__setattr__(self, "needs_body", self.body is not None)
