"""Messages to a running container: which channel they are on, and what is passed over."""

from __future__ import annotations

import pytest

from springtide.node import channels
from springtide.node.channels import Channels
from springtide.runtime.exchange import Disconnected


class Told:
    """A client that has said all it will say."""

    def __init__(self, *messages: bytes | str) -> None:
        self._messages = list(messages)

    async def receive(self) -> bytes | str:
        if not self._messages:
            raise Disconnected
        return self._messages.pop(0)

    async def send(self, message: bytes | str) -> None:
        """Nobody listens."""

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Nothing to close."""


@pytest.mark.parametrize("nonsense", ["", "x", "\xb2aGk=", "\u0663aGk=", "0a", "0\xe9\xe9", b"\xff", b""])
async def test_what_is_no_message_of_base64_is_passed_over(nonsense: bytes | str) -> None:
    spoken = Channels(Told(nonsense, "0aGk="), channels.V4_BASE64)
    assert await spoken.receive() == (0, b"hi")
    with pytest.raises(Disconnected):
        await spoken.receive()
