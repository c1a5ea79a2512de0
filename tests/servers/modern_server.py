"""A server written with the official SDK, for the tests: both eras, no tool with a clock in it."""

from typing import Annotated

import anyio
from mcp.server.mcpserver import Context, Elicit, MCPServer, Resolve
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

server = MCPServer("modern", version="1.0.0", instructions="Arithmetic, and a question.")


class Quotient(BaseModel):
    """What `divide` answers, as structured content too."""

    quotient: int
    remainder: int


class Consent(BaseModel):
    """What `confirm` asks the user for."""

    yes: bool


@server.tool()
def add(a: int, b: int) -> int:
    """Adds two integers."""
    return a + b


@server.tool()
def divide(a: int, b: int) -> Quotient:
    """Divides two integers. Dividing by zero is an error of the tool, not of the protocol."""
    if b == 0:
        raise ToolError("cannot divide by zero")
    return Quotient(quotient=a // b, remainder=a % b)


@server.tool()
async def count(to: int, pause_ms: int, ctx: Context) -> str:
    """Counts with pauses between, and reports progress."""
    for step in range(1, to + 1):
        await anyio.sleep(pause_ms / 1000)
        await ctx.report_progress(step, to, f"step {step}")
    return f"counted to {to}"


async def ask_consent() -> Elicit[Consent]:
    """The question that `confirm` needs answered before it runs."""
    return Elicit("Go on?", Consent)


@server.tool()
def confirm(consent: Annotated[Consent, Resolve(ask_consent)]) -> str:
    """Asks the user first: one more round in the modern era, an elicitation in the legacy one."""
    return "confirmed" if consent.yes else "refused"


@server.resource("text://greeting", mime_type="text/plain")
def greeting() -> str:
    """A fixed text."""
    return "héllo\n"


@server.resource("text://double/{n}", mime_type="text/plain")
def double(n: int) -> str:
    """A resource template."""
    return str(n * 2)


@server.prompt()
def review(code: str) -> str:
    """Asks for a review."""
    return f"Review this:\n{code}"


if __name__ == "__main__":
    server.run("stdio")
