"""A session on an open channel: who offers what, and which message goes where (section 12)."""

import asyncio
import time

from .clock import now_us
from .errors import Fault
from .messages import (
    ACK, BATCH, CAUGHT_UP, HEARTBEAT, HELLO, LIMITS, PAIR, PAIRED, REFUSED, SUBSCRIBE, SUBSCRIBE_ALL, UNSUBSCRIBE,
    UNSUBSCRIBED, SpaceState,
)  # fmt: skip
from .pull import Pull
from .push import Push, begin

AGENT = "tidelog-python/1"
HEARTBEAT_S = 15
SUBSCRIPTIONS_MAX = 320


class Session:
    """`live`: stays; otherwise it ends when both sides have everything. `hello`: one that came with the pairing."""

    def __init__(self, channel, replica, name, live=True, hello=None, say=lambda text: None):
        self.channel, self.replica, self.name, self.live, self.hello = channel, replica, name, live, hello
        self.say = say
        self.capabilities = None  # of the other side; None until its HELLO is here
        self.remote = None  # its state of our space; None where it doesn't offer it
        self.offered = None  # whether our last HELLO offered our space
        self.pulls, self.pushes, self.used = {}, {}, set()
        self.remote_has = {}  # chain → seq: what came from the other side
        self.entries = self.fresh = self.sent = 0  # entries that came; of these, new; that went out
        self.was_level = False  # has had everything that the other side had
        self.tasks = set()
        self.end = asyncio.get_running_loop().create_future()

    async def run(self):
        """Until everything is here and there, or for ever; raises the fault that ended it."""
        # By our own log: an empty one knows nobody, and this side opened the connection in order to sync.
        if self.replica.head and not self._serves():
            raise Fault("device-revoked" if self.replica.is_revoked(self.channel.device) else "not-paired")
        self.replica.on_growth.append(self._grew)
        try:
            await self._say_hello()
            if self.hello:
                await self._on_hello(*self.hello)
            self._spawn(self._read())
            self._spawn(self._beat())
            await self.end
        finally:
            self.replica.on_growth.remove(self._grew)
            for task in self.tasks:
                task.cancel()
            await asyncio.gather(*self.tasks, return_exceptions=True)

    def _spawn(self, coroutine):
        """A task whose fault ends the session."""
        task = asyncio.create_task(coroutine)
        self.tasks.add(task)
        task.add_done_callback(self._task_ended)

    def _task_ended(self, task):
        self.tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error and not self.end.done():
            self.end.set_exception(error)

    async def _read(self):
        while True:
            await self.handle(*await self.channel.receive())

    async def handle(self, kind, fields):
        if self.capabilities is None and kind not in (HELLO, HEARTBEAT, PAIR, PAIRED, REFUSED):
            raise Fault("bad-message", "before HELLO")
        handler = self.HANDLERS.get(kind)
        if handler:
            await handler(self, *fields)
        if self._serves() != self.offered:
            await self._say_hello()  # what we share has changed: the log that makes it a member came
        self.maybe_done()

    async def _beat(self):
        while True:
            await asyncio.sleep(max(0.1, self.channel.last_sent + HEARTBEAT_S - time.monotonic()))
            if time.monotonic() - self.channel.last_sent >= HEARTBEAT_S:
                await self.channel.send(HEARTBEAT, self._spaces(), now_us())

    # Who offers what

    def _serves(self):
        """A space isn't served to a device that has no role in it by our own log (section 7.4)."""
        return self.replica.role_of(self.channel.device) is not None

    def _spaces(self):
        r = self.replica
        return [[r.space, r.epoch, r.head, r.digest()]] if self._serves() else []

    async def _say_hello(self):
        spaces = self._spaces()
        self.offered = bool(spaces)
        await self.channel.send(HELLO, 1, self.name, AGENT, ["zstd"], LIMITS, spaces, now_us())

    async def _on_hello(self, version, name, agent, capabilities, limits, spaces, their_time):
        self.channel.is_open()
        self.capabilities = capabilities
        self.remote = None
        self._note(spaces)
        if self.remote and all(pull.ended and not pull.refused for pull in self.pulls.values()):
            await self._subscribe()
        elif not self.remote and not self.live:
            raise Fault("unknown-space", "the other side doesn't offer it")

    async def _on_heartbeat(self, spaces, their_time):
        if self.remote:
            self._note(spaces)

    def _note(self, spaces):
        for each in spaces:
            if each[0] == self.replica.space:
                self.remote = SpaceState(*each[:4])

    # Receiving

    async def _subscribe(self):
        number = len(self.pulls) + 1
        pull = self.pulls[number] = Pull(self, number, self.remote.epoch)
        await pull.start()

    def _pull(self, number):
        pull = self.pulls.get(number)
        if pull is None or pull.ended:
            raise Fault("bad-message", "no such subscription")
        return pull

    async def _on_batch(self, number, *fields):
        before = self.replica.head
        await self._pull(number).batch(*fields)
        self.fresh += self.replica.head - before
        if self.replica.is_revoked(self.channel.device):
            raise Fault("device-revoked")

    def took(self, count, heads):
        self.entries += count
        for chain, seq in heads.items():
            self.remote_has[chain] = max(seq, self.remote_has.get(chain, 0))

    async def _on_caught_up(self, number, last, digest):
        await self._pull(number).caught_up(last, digest)
        self.was_level = True
        if self.remote:
            self.remote = self.remote._replace(head=last, digest=digest)

    async def _on_unsubscribed(self, number, fault):
        if self._pull(number).unsubscribed(fault):
            await self._subscribe()

    # Sending

    async def _on_subscribe_all(self, number, space, start, live, credit, filter=None):
        if number in self.used:
            raise Fault("bad-message", "a number that was used before")
        self.used.add(number)
        if space != self.replica.space or not self._serves():
            return await self._refuse(number, "unknown-space")
        if len(self.pushes) >= SUBSCRIPTIONS_MAX:
            raise Fault("too-many")
        position, rest = begin(self.replica, start)
        if type(position) is str:
            return await self._refuse(number, position, detail=rest)
        if filter is not None:
            return await self._refuse(number, "bad-request", text="this peer sends no parts of a space")
        push = self.pushes[number] = Push(self, number, position, rest, live, credit)
        self._spawn(push.run())

    async def _refuse(self, number, code, text="", detail=None):
        await self.channel.send(UNSUBSCRIBED, number, Fault(code, text).encode(detail))

    async def _on_ack(self, number, last, credit):
        if number in self.pushes:  # for one that has ended, or never was, it is ignored
            self.pushes[number].ack(last, credit)

    async def _on_unsubscribe(self, number):
        if number in self.pushes:
            self.pushes[number].stop()

    def _grew(self):
        for push in self.pushes.values():
            push.wake.set()

    def maybe_done(self):
        """A session that isn't live ends when it has everything, and the other side has said so of ours."""
        if self.live or self.end.done() or not self.pulls or not all(pull.ended for pull in self.pulls.values()):
            return
        if not self._serves() or any(push.up_to_date() for push in self.pushes.values()):
            self.end.set_result(None)

    HANDLERS = {
        HELLO: _on_hello, HEARTBEAT: _on_heartbeat, BATCH: _on_batch, CAUGHT_UP: _on_caught_up, ACK: _on_ack,
        UNSUBSCRIBED: _on_unsubscribed, SUBSCRIBE_ALL: _on_subscribe_all, SUBSCRIBE: _on_subscribe_all,
        UNSUBSCRIBE: _on_unsubscribe,
    }  # fmt: skip
