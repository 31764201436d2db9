"""A bare aiohttp server that sends a request's body back: what HTTP alone costs here.

Prints its port on standard output and serves until it is terminated.
"""

from __future__ import annotations

import asyncio
import sys

from aiohttp import web

PATH = "/echo"


async def _echo(request: web.Request) -> web.Response:
    return web.Response(body=await request.read(), content_type="application/json")


async def _serve() -> None:
    application = web.Application()
    application.router.add_post(PATH, _echo)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    sys.stdout.write(f"{runner.addresses[0][1]}\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve())
