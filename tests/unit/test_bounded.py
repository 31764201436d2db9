"""The campaign about every endpoint under every fault leaves no endpoint out."""

from __future__ import annotations

import json
import re

import aiohttp

from deploy.local.settings import CHECKOUT
from tests.campaign.bounded import Partner


async def test_every_endpoint_of_the_contract_is_called() -> None:
    """Whatever docs/openapi.json lists, with any id in its place."""
    document = json.loads((CHECKOUT / "docs" / "openapi.json").read_text(encoding="utf-8"))
    listed = {
        (method.upper(), re.sub(r"\{[^}]*\}", "{}", path))
        for path, methods in document["paths"].items()
        for method in methods
        if method in ("get", "post", "put", "patch", "delete")
    }
    async with aiohttp.ClientSession() as session:
        partner = Partner(session, "http://nowhere")
        partner.reservation_id, partner.order_id, partner.receipt = "res_1", "ORD-1", "rcpt"
        partner.holds = partner.many = ["res_2"]
        asked = [call()[:2] for call in partner.calls().values()]
    missing = {
        (method, path)
        for method, path in listed
        if not any(
            method == verb and re.fullmatch(path.replace("{}", "[^/?]+") + r"(\?.*)?", target)
            for verb, target in asked
        )
    }
    assert set() == missing
