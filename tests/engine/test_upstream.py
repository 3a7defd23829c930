"""The gateway's connection to its engine carries nothing from one payer's request to another's."""

from aiohttp import web

from tallystick_node.engine.upstream import Upstream


async def test_a_cookie_that_one_answer_sets_comes_with_no_later_request() -> None:
    cookies: list[str | None] = []

    async def answer(request: web.Request) -> web.Response:
        cookies.append(request.headers.get("Cookie"))
        response = web.Response(text="{}")
        response.set_cookie("session", "a payer's")
        return response

    application = web.Application()
    application.add_routes([web.post("/v1/completions", answer)])
    runner = web.AppRunner(application)
    await runner.setup()
    await (site := web.TCPSite(runner, "127.0.0.1", 0)).start()
    # By name: a cookie jar ignores hosts that are addresses.
    upstream = Upstream(f"http://localhost:{site.port}")
    try:
        for _ in range(2):
            reply = await upstream.post("/v1/completions", b"{}")
            await reply.read()
            reply.release()
    finally:
        await upstream.close()
        await runner.cleanup()
    assert cookies == [None, None]
