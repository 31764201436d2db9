"""The API's document: valid, complete, the same as committed, and no promise of it broken."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest
from openapi_spec_validator import validate
from openapi_spec_validator.validation.exceptions import OpenAPIValidationError

from deploy.openapi.changes import METHODS, breaking_changes
from deploy.openapi.documents import RELEASED, generated, openapi_text
from libs.runtime.problem import CATALOGUE
from services.gateway.http.openapi_document import openapi_document

Json = dict[str, Any]

DOCUMENT: Json = json.loads(openapi_text())
LATER = {"TICKET_NOT_FOUND"}
"""Words that the contract keeps for a later chapter."""


def operations(document: Json) -> dict[str, Json]:
    """Return all operations by method and path."""
    return {
        f"{method.upper()} {path}": methods[method]
        for path, methods in document["paths"].items()
        for method in METHODS
        if method in methods
    }


def test_it_is_a_valid_openapi_document() -> None:
    """The independent validator has nothing to say; it does about a broken copy."""
    validate(DOCUMENT)
    broken = copy.deepcopy(DOCUMENT)
    del broken["paths"]["/api/ota/reserve"]["post"]["responses"]["201"]["description"]
    with pytest.raises(OpenAPIValidationError):
        validate(broken)
    assert "3.0.3" == DOCUMENT["openapi"]


def test_the_committed_copies_are_what_is_generated() -> None:
    """A change of the API is a change of these files: `make openapi` writes them."""
    stale = [
        path.name for path, text in generated().items() if path.read_text(encoding="utf-8") != text
    ]
    assert [] == stale, "run `make openapi`"


def test_the_contract_is_told_whole() -> None:
    """Every endpoint that the contract names."""
    assert {
        "GET /api/ota/inventory",
        "GET /api/ota/products",
        "POST /api/ota/reserve",
        "GET /api/ota/reservations",
        "POST /api/ota/reservations/cleanup",
        "GET /api/ota/reservations/{reservation_id}",
        "DELETE /api/ota/reservations/{reservation_id}",
        "POST /api/ota/reservations/{reservation_id}/activate",
        "GET /api/ota/orders",
        "GET /api/ota/orders/{order_id}",
        "GET /api/ota/orders/{order_id}/tickets",
        "GET /api/ota/receipts/{receipt}",
        "GET /pricing/rules/{product_id}",
        "POST /pricing/calculate",
        "GET /healthz",
        "GET /problems/{word}",
    } == set(operations(DOCUMENT))


def test_every_word_is_told_by_some_operation() -> None:
    """No word without an answer that has it, but those that no route can have."""
    told = {
        word
        for operation in operations(DOCUMENT).values()
        for answer in operation["responses"].values()
        for word in answer.get("content", {})
        .get("application/problem+json", {})
        .get("examples", {})
    }
    assert set(CATALOGUE) - LATER - {"METHOD_NOT_ALLOWED"} == told


@pytest.mark.parametrize("name", sorted(operations(DOCUMENT)))
def test_every_operation_teaches(name: str) -> None:
    """It says what it does, what each answer means, and shows a body that it takes."""
    operation = operations(DOCUMENT)[name]
    assert operation["summary"]
    assert operation["description"]
    assert operation["tags"][0] in {tag["name"] for tag in DOCUMENT["tags"]}
    for parameter in operation["parameters"]:
        resolved = parameter
        if "$ref" in parameter:
            resolved = DOCUMENT["components"]["parameters"][parameter["$ref"].rsplit("/", 1)[-1]]
        assert resolved["description"]
    body = operation.get("requestBody")
    assert body is None or body["content"]["application/json"]["schema"]["example"]
    public = name.startswith(("GET /healthz", "GET /problems")) or "/pricing/" in name
    assert public == (operation["security"] == [])
    assert "500" in operation["responses"]
    # Who asks for our health is never refused: no flood may make us look dead.
    assert ("429" in operation["responses"]) == (name != "GET /healthz")


def test_a_word_has_its_own_status() -> None:
    """An example stands under the status that its document names."""
    for operation in operations(DOCUMENT).values():
        for status, answer in operation["responses"].items():
            content = answer.get("content", {}).get("application/problem+json", {})
            for word in content.get("examples", {}):
                example = DOCUMENT["components"]["examples"][word]["value"]
                assert (int(status), word) == (example["status"], example["code"])


def test_an_endpoint_outside_the_contract_is_not_told() -> None:
    """Pages and files are for people."""
    assert {} == openapi_document(())["paths"]
    assert not [path for path in DOCUMENT["paths"] if path.startswith("/docs")]


def test_nothing_that_was_released_is_broken() -> None:
    """A client that was made for the last release still works."""
    released = json.loads(RELEASED.read_text(encoding="utf-8"))
    assert operations(released), "nothing was released"
    assert [] == breaking_changes(released, DOCUMENT)


RESERVE = ("paths", "/api/ota/reserve", "post")
SENT = (*RESERVE, "requestBody", "content", "application/json", "schema")
READ = ("components", "schemas", "Order")
STATUS = ("components", "schemas", "Ticket", "properties", "status")
TYPES = (
    *("paths", "/api/ota/reservations/{reservation_id}/activate", "post", *SENT[3:]),
    *("properties", "customer_type"),
)
ORDERS = ("paths", "/api/ota/orders", "get")


def at(document: Json, *steps: str) -> Json:
    """Return a part of a document."""
    for step in steps:
        document = document[step]
    return document


def words(document: Json, status: str) -> Any:
    """Return the error words that a reservation gets with a status."""
    problem = at(document, *RESERVE, "responses", status, "content", "application/problem+json")
    return at(problem["schema"]["allOf"][1], "properties", "code")["enum"]


def parameter(document: Json, name: str) -> Json:
    """Return the schema of a parameter of the list of orders."""
    (found,) = (each for each in at(document, *ORDERS)["parameters"] if each.get("name") == name)
    schema: Json = found["schema"]
    return schema


def renamed(words: list[str], old: str, new: str) -> None:
    """Put a word in the place of another."""
    words[words.index(old)] = new


BREAKS: dict[str, Callable[[Json], object]] = {
    "the path is gone": lambda d: d["paths"].pop("/api/ota/reserve"),
    "the method is gone": lambda d: at(d, "paths", "/api/ota/reserve").pop("post"),
    "the status 409 is gone": lambda d: at(d, *RESERVE, "responses").pop("409"),
    "the header Location is gone": lambda d: at(d, *RESERVE, "responses", "201", "headers").pop(
        "Location"
    ),
    "the field total_amount is gone": lambda d: (
        at(d, *READ, "properties").pop("total_amount"),
        at(d, *READ)["required"].remove("total_amount"),
    ),
    "the field order_id may be missing now": lambda d: at(d, *READ)["required"].remove("order_id"),
    "may be null now": lambda d: at(d, *READ, "properties", "order_id").update(nullable=True),
    "the type was integer and is string": lambda d: at(d, *READ, "properties", "quantity").update(
        type="string"
    ),
    "the field visit_date is required now": lambda d: at(d, *SENT)["required"].append("visit_date"),
    "the field customer_reference is gone": lambda d: at(d, *SENT, "properties").pop(
        "customer_reference"
    ),
    "maximum was lowered": lambda d: at(d, *SENT, "properties", "quantity").update(maximum=50),
    "minimum was raised": lambda d: at(d, *SENT, "properties", "quantity").update(minimum=2),
    "null is not taken any more": lambda d: at(d, *SENT, "properties", "visit_date").pop(
        "nullable"
    ),
    "expired is not taken any more": lambda d: next(
        each
        for each in at(d, "paths", "/api/ota/reservations", "get")["parameters"]
        if each.get("name") == "status"
    )["schema"]["enum"].remove("expired"),
    "the parameter page is required now": lambda d: next(
        each
        for each in at(d, "paths", "/api/ota/orders", "get")["parameters"]
        if each.get("name") == "page"
    ).update(required=True),
    "the parameter qr is gone": lambda d: at(
        d, "paths", "/api/ota/orders/{order_id}/tickets", "get"
    )["parameters"].pop(1),
    "the pattern is another": lambda d: at(
        d, "components", "parameters", "Idempotency-Key", "schema"
    ).update(pattern="^[a-z]+$"),
    "SOLD_OUT is not answered any more": lambda d: renamed(words(d, "409"), "SOLD_OUT", "NO_UNITS"),
    "HOLD_LIMIT_REACHED is not answered any more": lambda d: (
        words(d, "409").remove("HOLD_LIMIT_REACHED"),
        words(d, "422").append("HOLD_LIMIT_REACHED"),
    ),
    "USED is not answered any more": lambda d: renamed(at(d, *STATUS)["enum"], "USED", "USED_UP"),
    "LOST may be answered now": lambda d: at(d, *STATUS)["enum"].append("LOST"),
    "any word may be answered now": lambda d: at(d, *STATUS).pop("enum"),
    "true is not answered any more": lambda d: at(
        d, "components", "headers", "Idempotent-Replayed", "schema"
    ).update(enum=["yes"]),
    "customer_type[]: elderly is not taken any more": lambda d: at(d, *TYPES)["anyOf"][1]["items"][
        "enum"
    ].remove("elderly"),
    "customer_type: child is not taken any more": lambda d: at(d, *TYPES)["anyOf"][0][
        "enum"
    ].remove("child"),
    "customer_type: maxItems was lowered": lambda d: at(d, *TYPES)["anyOf"][1].update(maxItems=5),
    "the type was array and is string": lambda d: at(d, *TYPES)["anyOf"].pop(1),
    "customer_type: null is not taken any more": lambda d: at(d, *TYPES).pop("nullable"),
    "the format was date and is date-time": lambda d: parameter(d, "created_after")["anyOf"].pop(1),
    "quantity: the type was integer and is string": lambda d: at(
        d, *READ, "properties", "quantity"
    ).update(oneOf=[{"type": "integer"}, {"type": "string"}]),
    "a key is needed now": lambda d: at(d, "paths", "/pricing/calculate", "post").update(
        security=[{"ApiKey": []}]
    ),
}


@pytest.mark.parametrize("found", BREAKS)
def test_a_breaking_change_is_found(found: str) -> None:
    """Whatever takes something away from a client."""
    changed = copy.deepcopy(DOCUMENT)
    BREAKS[found](changed)
    assert [change for change in breaking_changes(DOCUMENT, changed) if change.endswith(found)]


ADDITIONS: dict[str, Callable[[Json], object]] = {
    "an answer's field": lambda d: at(d, *READ, "properties").update(new={"type": "string"}),
    "an optional field to send": lambda d: at(d, *SENT, "properties").update(
        new={"type": "string"}
    ),
    "a path": lambda d: d["paths"].update({"/new": {"get": {"responses": {}}}}),
    "a status": lambda d: at(d, *RESERVE, "responses").update({"202": {"description": "new"}}),
    "an error's word": lambda d: (
        words(d, "409").append("NEW_WORD"),
        at(d, "components", "schemas", "Problem", "properties", "code")["enum"].append("NEW_WORD"),
    ),
    "another choice to send": lambda d: at(d, *TYPES)["anyOf"].append({"type": "boolean"}),
    "a choice to send where there was none": lambda d: parameter(d, "payment_reference").update(
        anyOf=[{"type": "string"}, {"type": "integer"}]
    ),
    "a word more to send": lambda d: at(d, *TYPES)["anyOf"][0]["enum"].append("student"),
    "choices in another order": lambda d: at(d, *TYPES)["anyOf"].reverse(),
    "a higher limit": lambda d: at(d, *SENT, "properties", "quantity").update(maximum=200),
    "another description": lambda d: at(d, *RESERVE).update(description="said better"),
    "an optional parameter": lambda d: at(d, "paths", "/api/ota/orders", "get")[
        "parameters"
    ].append({"name": "new", "in": "query", "schema": {"type": "string"}}),
}


@pytest.mark.parametrize("addition", ADDITIONS)
def test_an_addition_breaks_nobody(addition: str) -> None:
    """Clients pass over what they do not know."""
    changed = copy.deepcopy(DOCUMENT)
    ADDITIONS[addition](changed)
    assert changed != DOCUMENT
    assert [] == breaking_changes(DOCUMENT, changed)
