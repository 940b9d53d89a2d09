"""The channel: a WebSocket, the Noise handshake on it, and messages in its frames (section 10). This side opens it."""

import asyncio
import time
from urllib.parse import urlsplit

import websockets

from .errors import CLOSE_CODES, CODES, SILENT, Fault
from .messages import ERROR, decode_message, encode_message
from .noise import Frames, Initiator

HANDSHAKE_S, SILENCE_S = 10, 45
NOISE_MESSAGE_BYTES = 65_535


def sync_url(origin):
    """Section 13.2."""
    parts = urlsplit(origin)
    return f"{'wss' if parts.scheme == 'https' else 'ws'}://{parts.netloc}/sync"


async def open_channel(seed, origin, expected=None):
    """To the node at an origin. `expected` is the key of the device that must answer; None takes any."""
    deadline = time.monotonic() + HANDSHAKE_S
    try:
        async with asyncio.timeout(HANDSHAKE_S):
            socket = await websockets.connect(
                sync_url(origin), subprotocols=["tidelog.1"], compression=None, max_size=NOISE_MESSAGE_BYTES,
                ping_interval=None, open_timeout=None, close_timeout=2,
            )  # fmt: skip
    except (OSError, ValueError, EOFError, TimeoutError, websockets.WebSocketException) as error:
        raise Fault("unreachable", f"{origin}: {error}") from None
    channel = Channel(socket, deadline)
    try:
        await channel.shake_hands(Initiator(seed, expected))
    except Fault as fault:
        await channel.close(fault)
        raise
    except asyncio.CancelledError:
        await channel.close()
        raise
    return channel


async def reach(seed, origins, expected=None):
    """A channel to the first of some origins where the device answers."""
    faults = []
    for origin in origins:
        try:
            return await open_channel(seed, origin, expected)
        except Fault as fault:
            faults.append(fault)
    raise next((fault for fault in faults if fault.retry), faults[0])


class Channel:
    """`device` is the other side's key, `hash` the handshake hash."""

    def __init__(self, socket, deadline):
        self.socket = socket
        self.deadline = deadline  # by which the other side's HELLO must be here; None after that
        self.last_sent = time.monotonic()
        self.sending = asyncio.Lock()
        self.broken = False  # half of a message went out, and nothing can follow it

    async def shake_hands(self, noise):
        if self.socket.subprotocol != "tidelog.1":
            raise Fault("bad-handshake", "not the subprotocol")
        await self._send_frame(noise.message_1())
        noise.read(await self._frame())
        await self._send_frame(noise.message_3())
        self.device, self.hash = noise.device, noise.hash
        self.frames = Frames(noise.send, noise.receive)

    def is_open(self):
        """The other side's HELLO is here."""
        self.deadline = None

    async def _frame(self):
        end = time.monotonic() + SILENCE_S  # any frame is a sign of life (section 12.4)
        if self.deadline is not None:
            end = min(end, self.deadline)
        try:
            async with asyncio.timeout(end - time.monotonic()):  # not wait_for, which can lose a cancellation
                data = await self.socket.recv()
        except TimeoutError:
            raise Fault("timeout") from None
        except websockets.ConnectionClosed as closed:
            raise _ended(closed) from None
        if type(data) is not bytes:
            raise Fault("bad-message", "a text message")
        return data

    async def receive(self):
        """The next message, as (type, fields). Those that may be missed are passed over; an ERROR is raised."""
        while True:
            message = self.frames.open(await self._frame())
            decoded = decode_message(message) if message is not None else None
            if decoded is None:
                continue
            if decoded[0] == ERROR:
                raise Fault.told(decoded[1][0])
            return decoded

    async def send(self, kind, *fields):
        # Shielded: a task that is cancelled when half of a message is out would spoil what others send after it.
        await asyncio.shield(self._send(encode_message(kind, *fields)))

    async def _send(self, message):
        async with self.sending:  # messages don't interleave
            if self.broken:
                return
            for frame in self.frames.seal(message):
                await self._send_frame(frame)
            self.last_sent = time.monotonic()

    async def _send_frame(self, data):
        try:
            async with asyncio.timeout(SILENCE_S):
                await self.socket.send(data)
        except TimeoutError:
            self.broken = True
            raise Fault("timeout") from None
        except websockets.ConnectionClosed as closed:
            self.broken = True
            raise _ended(closed) from None

    async def close(self, fault=None):
        """With ERROR, where the fault is ours and the channel can still carry it (sections 11.13 and 14)."""
        if fault is None or fault.remote:
            return await self.socket.close(1000)
        if fault.code not in SILENT and hasattr(self, "frames"):
            try:
                await self.send(ERROR, fault.encode())
            except Fault:
                pass
        code = CLOSE_CODES.get(fault.code)
        await self.socket.close(code or 1000, fault.code if code else "")


def _ended(closed):
    """The connection is gone; the close code may say why."""
    return Fault(CODES.get(closed.code, "unreachable"), f"closed with {closed.code} {closed.reason}", remote=True)
