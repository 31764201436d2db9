"""One step of load in one call, for commands that measure something else around it."""

from __future__ import annotations

import secrets
from typing import Any

import aiohttp

from bench import seed
from bench.generator import Plan
from bench.settings import HOT_PRODUCT, PARTNER_KEY
from bench.stack import Stack
from bench.workload import Progress, Step, run


async def prepare(*, stack: Stack) -> None:
    """Load the benchmark's partners and products unless they are there; raises StackMissing."""
    timeout = aiohttp.ClientTimeout(total=seed.REQUEST_TIMEOUT_S)
    async with aiohttp.ClientSession(timeout=timeout) as http:
        inventory = seed.Inventory(http=http, base_url=f"http://{stack.partner}")
        await seed.ensure(stack=stack, inventory=inventory)


def plan_of(
    *,
    stack: Stack,
    clients: int,
    warm_up_s: float,
    seconds: float,
    products: tuple[int, ...] = (HOT_PRODUCT,),
    quantity: int = 1,
    **more: Any,
) -> Plan:
    """Return a plan of one step with keys of its own; it reserves unless *more* says otherwise."""
    given: dict[str, Any] = {
        "host": stack.partner.connect_host,
        "port": stack.partner.port,
        "api_key": PARTNER_KEY,
        **more,
    }
    return Plan(
        bodies=tuple({"product_id": each, "quantity": quantity} for each in products),
        key_prefix=f"bench-{secrets.token_hex(4)}",
        clients=(clients,),
        warm_up_s=warm_up_s,
        seconds=seconds,
        **given,
    )


async def reserve(
    *, stack: Stack, clients: int, warm_up_s: float, seconds: float, progress: Progress
) -> Step:
    """Reserve in a closed loop on the hot product; raises WorkloadError."""
    plan = plan_of(stack=stack, clients=clients, warm_up_s=warm_up_s, seconds=seconds)
    return (await run(plan=plan, pids=stack.pids, progress=progress))[0]
