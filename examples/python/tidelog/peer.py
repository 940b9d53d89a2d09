"""A connection to a node, and what is said on it (sections 10 to 12). This peer always opens it."""

import asyncio
import random
import time

import websockets

from . import ids
from .batch import encode_batch, pack, unpack
from .errors import CLOSE_CODES, SILENT, Fault
from .link import proof
from .messages import (
    ACK, BATCH, CAUGHT_UP, CREDIT_DEFAULT, CREDIT_MAX, ERROR, HEARTBEAT, HELLO, LIMITS, PAIR, PAIRED, REFUSED,
    SUBSCRIBE, SUBSCRIBE_ALL, UNSUBSCRIBE, UNSUBSCRIBED, SpaceState, decode_message, encode_message,
)  # fmt: skip
from .noise import Frames, Initiator, digits
from .replica import now_us

AGENT = "tidelog-python/1"
HANDSHAKE_S, HEARTBEAT_S, SILENCE_S = 10, 15, 45
BATCH_ENTRIES, BATCH_RAW = 512, 262_144  # of those that are sent; no rule


class Pull:
    """A subscription of ours: batches come in."""

    def __init__(self, number, position, live):
        self.number, self.live = number, live
        self.position = position  # None after a start from a vector, until the sender says where it begins
        self.out = 0  # bytes of data that came and weren't acknowledged
        self.caught_up = False
        self.ended = False


class Push:
    """A subscription of the other side: batches go out."""

    def __init__(self, number, position, vector, live, credit):
        self.number, self.position, self.vector = number, position, vector
        self.live, self.credit, self.credit_given = live, credit, credit
        self.acked = position
        self.sent_caught_up = False
        self.wake = asyncio.Event()
        self.task = None


class Connection:
    """
    `replica` is None for a joiner that has none yet. `live`: stay; else end when both sides have everything.
    After the run these tell what happened: entries (that came), fresh (of these, new), sent, remote_digest.
    """

    def __init__(self, seed, name, replica=None, live=True, say=lambda text: None):
        self.seed, self.name, self.replica, self.live, self.say = seed, name, replica, live, say
        self.device = None
        self.pull = None
        self.pulls, self.pushes, self.used = {}, {}, set()
        self.hello = None  # the other side's last one
        self.remote = None  # its state of our space
        self.remote_has = {}  # chain → seq: what came from it
        self.entries = self.fresh = self.sent = self.batches = 0
        self.remote_digest = None
        self.offered = None
        self.sending = asyncio.Lock()
        self.last_sent = time.monotonic()
        self.done = asyncio.Event()
        self.fault = None  # of a task beside the reading one

    # The channel

    async def open(self, origin, expected):
        url = origin.replace("http", "ws", 1) + "/sync"
        try:
            self.socket = await websockets.connect(
                url, subprotocols=["tidelog.1"], compression=None, max_size=65_535, ping_interval=None,
                open_timeout=HANDSHAKE_S, close_timeout=5,
            )  # fmt: skip
        except (OSError, asyncio.TimeoutError, websockets.WebSocketException) as error:
            raise Fault("unreachable", str(error)) from None
        if self.socket.subprotocol != "tidelog.1":
            await self.socket.close(4001)
            raise Fault("bad-handshake")
        noise = Initiator(self.seed, expected)
        try:
            await self.socket.send(noise.message_1())
            noise.read(await self._receive(HANDSHAKE_S))
            await self.socket.send(noise.message_3())
        except Fault as fault:
            await self.socket.close(CLOSE_CODES.get(fault.code, 1000), fault.code)
            raise
        self.device, self.hash = noise.device, noise.hash
        self.frames = Frames(noise.send, noise.receive)

    async def _receive(self, seconds):
        try:
            data = await asyncio.wait_for(self.socket.recv(), seconds)
        except asyncio.TimeoutError:
            raise Fault("timeout") from None
        except websockets.ConnectionClosed as closed:
            raise Fault("unreachable", f"closed with {closed.code} {closed.reason}") from None
        if type(data) is not bytes:
            raise Fault("bad-message")
        return data

    async def receive(self, seconds=SILENCE_S):
        """The next message. Any frame is a sign of life."""
        while True:
            message = self.frames.open(await self._receive(seconds))
            if message is None:
                continue
            decoded = decode_message(message)
            if decoded is None:
                continue
            if decoded[0] == ERROR:
                code, _, _, text, _ = decoded[1][0][:5]
                raise Fault(code, text, remote=True)
            return decoded

    async def send(self, kind, *fields):
        async with self.sending:  # messages don't interleave
            for frame in self.frames.seal(encode_message(kind, *fields)):
                await self.socket.send(frame)
            self.last_sent = time.monotonic()

    async def close(self, fault=None):
        code, reason = 1000, ""
        try:
            if fault is not None and not fault.remote and fault.code != "unreachable":
                code, reason = CLOSE_CODES.get(fault.code, 1000), fault.code
                if fault.code not in SILENT:
                    await self.send(ERROR, fault.encode())
            await self.socket.close(code, reason)
        except (websockets.ConnectionClosed, AttributeError):
            pass

    # Pairing (section 13.5)

    async def join(self, link):
        """Asks to be let in, and returns PAIRED's fields."""
        self.say(f"digits {digits(self.hash)}")
        mine = ids.public_key(self.seed)
        await self.send(PAIR, [link.invite, proof(link.secret, self.hash, mine)], self.name)
        kept = None
        while True:
            kind, fields = await self.receive()
            if kind == PAIRED:
                if fields[0] != link.space:
                    raise Fault("wrong-space")
                if kept:
                    self.hello = kept
                return fields
            if kind == REFUSED and fields[0][0] != "pairing-pending":
                raise Fault(fields[0][0], fields[0][3], remote=True)
            if kind == HELLO:
                kept = fields
            elif kind not in (HEARTBEAT, REFUSED):
                raise Fault("bad-message")

    # The session (section 12)

    async def run(self):
        """Until everything is here and there, or for ever; raises the fault that ended it."""
        await self._say_hello()
        if self.hello:
            await self._on_hello(*self.hello)
        tasks = [asyncio.create_task(each) for each in (self._read(), self._beat(), self.done.wait())]
        self.replica.on_growth.append(self._grew)
        try:
            finished, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            for task in finished:
                task.result()
            if self.fault:
                raise self.fault
        finally:
            self.replica.on_growth.remove(self._grew)
            for task in [*tasks, *(push.task for push in self.pushes.values())]:
                task.cancel()

    async def _read(self):
        while True:
            seconds = SILENCE_S if self.hello else HANDSHAKE_S
            kind, fields = await self.receive(seconds)
            if self.hello is None and kind not in (HELLO, HEARTBEAT, PAIR, PAIRED, REFUSED):
                raise Fault("bad-message")
            handler = self.HANDLERS.get(kind)
            if handler:
                await handler(self, *fields)
            self._maybe_done()

    async def _beat(self):
        while True:
            quiet = time.monotonic() - self.last_sent
            if quiet >= HEARTBEAT_S:
                await self.send(HEARTBEAT, self._spaces(), now_us())
            await asyncio.sleep(max(0.1, HEARTBEAT_S - quiet))

    def _serves(self):
        """A space isn't served to a device that has no role in it by our own log."""
        return self.replica.role_of(self.device) is not None

    def _spaces(self):
        if not self._serves():
            return []
        r = self.replica
        return [[r.space, r.epoch, r.head, r.digest()]]

    async def _say_hello(self):
        spaces = self._spaces()
        self.offered = bool(spaces)
        await self.send(HELLO, 1, self.name, AGENT, ["zstd"], LIMITS, spaces, now_us())

    async def _on_hello(self, version, name, agent, capabilities, limits, spaces, their_time):
        self.hello = [version, name, agent, capabilities, limits, spaces, their_time]
        self._note(spaces)
        if self.remote and self.pull is None:
            await self._subscribe()

    async def _on_heartbeat(self, spaces, their_time):
        if self.hello:
            self._note(spaces)

    def _note(self, spaces):
        for each in spaces:
            if each[0] == self.replica.space:
                self.remote = SpaceState(*each[:4])
                self.remote_digest = self.remote.digest

    def _grew(self):
        for push in self.pushes.values():
            push.wake.set()

    # Receiving

    async def _subscribe(self):
        number = max(self.pulls, default=0) + 1
        cursor = self.replica.store.cursor(self.device)
        vector = self.replica.wanted_vector()
        if cursor and cursor[0] == self.remote.epoch and not self.replica.holes:
            start, position = [1, cursor[0], cursor[1]], cursor[1]
        elif vector:
            start, position = [2, [[chain, seq, id] for chain, (seq, id) in vector.items()]], None
        else:
            start, position = 0, 0
        self.pull = self.pulls[number] = Pull(number, position, self.live)
        self.say(f"subscribes from {('the start', 'cursor', 'vector')[start and start[0]]} {position or ''}".rstrip())
        self.epoch = self.remote.epoch
        await self.send(SUBSCRIBE_ALL, number, self.replica.space, start, self.live, CREDIT_DEFAULT)

    def _pull(self, number):
        pull = self.pulls.get(number)
        if pull is None or pull.ended:
            raise Fault("bad-message")
        return pull

    async def _on_batch(self, number, prev, last, codec, raw_bytes, data):
        pull = self._pull(number)
        if pull.position is not None and prev != pull.position:
            raise Fault("cursor-mismatch")
        if pull.out + len(data) > CREDIT_DEFAULT:
            raise Fault("credit-exceeded")
        pull.out += len(data)
        raw = unpack(codec, raw_bytes, data)
        # take() returns when the batch and the cursor are on the disk: only now is there anything to acknowledge.
        before = self.replica.head
        count, heads = self.replica.take(raw, (self.device, self.epoch, last))
        self.entries += count
        self.fresh += self.replica.head - before
        self.batches += 1
        for chain, seq in heads.items():
            self.remote_has[chain] = max(seq, self.remote_has.get(chain, 0))
        pull.position = last
        pull.out -= len(data)
        await self.send(ACK, number, last, len(data))
        if self._serves() != self.offered:
            await self._say_hello()  # what we share has changed

    async def _on_caught_up(self, number, last, digest):
        pull = self._pull(number)
        if pull.position is not None and last < pull.position:
            raise Fault("cursor-mismatch")
        self.remote_digest = digest
        pull.caught_up = True
        if last != pull.position:
            with self.replica.store:
                self.replica.store.set_cursor(self.device, self.epoch, last)
            pull.position = last
            await self.send(ACK, number, last, 0)
        self.say(f"caught up at {last}, digest {digest.hex()}")

    async def _on_unsubscribed(self, number, fault):
        pull = self._pull(number)
        pull.ended = True
        if fault is None:
            return
        code = fault[0]
        if code in ("cursor-epoch", "cursor-too-old", "cursor-too-new"):
            with self.replica.store:
                self.replica.store.forget_cursor(self.device)
            await self._subscribe()
        else:
            raise Fault(code, fault[3], remote=True)

    # Sending

    async def _on_subscribe_all(self, number, space, start, live, credit):
        if number in self.used:
            raise Fault("bad-message")
        self.used.add(number)
        replica = self.replica
        if space != replica.space or not self._serves():
            await self._refuse(number, "unknown-space", {})
            return
        position, vector = 0, {}
        if start != 0 and start[0] == 1:
            epoch, position = start[1:3]
            detail = {"epoch": replica.epoch.hex(), "floor": 0, "head": replica.head}
            if epoch != replica.epoch:
                return await self._refuse(number, "cursor-epoch", detail)
            if position > replica.head:
                return await self._refuse(number, "cursor-too-new", detail)
        elif start != 0:
            for chain, seq, id in (each[:3] for each in start[1]):
                mine = replica.chains.get(chain)
                if mine and mine.seq == seq and mine.id != id:
                    raise Fault("fork")
                vector[chain] = seq
            replica.heed_vector(start[1])
        if len(self.pushes) >= 64:
            raise Fault("too-many")
        push = self.pushes[number] = Push(number, position, vector, live, credit)
        push.task = asyncio.create_task(self._guard(self._push(push)))

    async def _on_subscribe(self, number, space, start, live, credit, filter):
        """Filters are left out here."""
        await self._refuse(number, "bad-request", {})

    async def _refuse(self, number, code, detail):
        fault = Fault(code).encode()
        await self.send(UNSUBSCRIBED, number, [*fault[:4], detail])

    async def _guard(self, coroutine):
        """A task beside the reading one: its fault ends the connection."""
        try:
            await coroutine
        except Fault as fault:
            self.fault = fault
            self.done.set()
        except websockets.ConnectionClosed:
            pass

    async def _push(self, push):
        """Reads our log on whenever it grows, and never more than there is credit for."""
        hand = None
        while True:
            push.wake.clear()
            if not hand and push.position < self.replica.head:
                hand = self._next_batch(push)
            if hand:
                last, count, codec, raw_bytes, data = hand
                if len(data) <= push.credit:
                    push.credit -= len(data)
                    prev, push.position, hand = push.position, last, None
                    self.sent += count
                    await self.send(BATCH, push.number, prev, last, codec, raw_bytes, data)
                    continue
            elif not push.sent_caught_up:
                push.sent_caught_up = True
                await self.send(CAUGHT_UP, push.number, push.position, self.replica.digest())
                continue
            elif not push.live and push.acked >= push.position:
                del self.pushes[push.number]
                await self.send(UNSUBSCRIBED, push.number, None)
                return
            self._maybe_done()
            await push.wake.wait()

    def _next_batch(self, push):
        """Leaves out what the other side has: by its vector, or because it came from it."""
        rows, size, last = [], 0, push.position
        for row in self.replica.store.read(push.position, BATCH_ENTRIES):
            position, chain, seq, prev, _, body, stem, changes_hash, signature, device, nonce = row
            last = position
            if seq <= max(push.vector.get(chain, 0), self.remote_has.get(chain, 0)):
                continue
            rows.append((device, nonce, seq, prev, body, stem, changes_hash, signature))
            size += len(body or stem) + 100
            if size >= BATCH_RAW:
                break
        raw = encode_batch(rows)
        codec, data = pack(raw, "zstd" in self.hello[3])
        return last, len(rows), codec, len(raw), data

    async def _on_ack(self, number, last, credit):
        push = self.pushes.get(number)
        if push is None:
            if number not in self.used:
                raise Fault("bad-message")
            return
        push.credit += credit
        if last < push.acked or last > push.position or push.credit > CREDIT_MAX:
            raise Fault("bad-message")
        push.acked = last
        push.wake.set()

    async def _on_unsubscribe(self, number):
        push = self.pushes.pop(number, None)
        if push:
            push.task.cancel()
            await self.send(UNSUBSCRIBED, number, None)

    def _maybe_done(self):
        """A connection that isn't live ends when it has everything, and the other side has said so of ours."""
        if self.live or not self.pull or not self.pull.ended:
            return
        head = self.replica.head
        pushed = any(p.sent_caught_up and p.position == head and p.acked == head for p in self.pushes.values())
        if pushed or not self._serves():
            self.done.set()

    HANDLERS = {
        HELLO: _on_hello, HEARTBEAT: _on_heartbeat, BATCH: _on_batch, CAUGHT_UP: _on_caught_up, ACK: _on_ack,
        UNSUBSCRIBED: _on_unsubscribed, SUBSCRIBE_ALL: _on_subscribe_all, SUBSCRIBE: _on_subscribe,
        UNSUBSCRIBE: _on_unsubscribe,
    }  # fmt: skip


async def reach(seed, name, origins, device, **rest):
    """An open channel to the first of some origins where the device answers."""
    fault = Fault("unreachable")
    for origin in origins:
        connection = Connection(seed, name, **rest)
        try:
            await connection.open(origin, device)
            return connection
        except Fault as error:
            fault = error
    raise fault


def pause(attempt):
    """Before the next attempt: it grows, and is jittered."""
    return min(30, 0.5 * 2**attempt) * random.uniform(0.5, 1)
