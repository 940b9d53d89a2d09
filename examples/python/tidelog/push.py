"""A subscription of the other side: our log goes out, as far as there is credit (sections 11.3, 11.7, 12.2, 12.3)."""

import asyncio

from .batch import encode_batch, pack
from .errors import Fault
from .messages import BATCH, CAUGHT_UP, CREDIT_MAX, UNSUBSCRIBED

BATCH_ENTRIES, BATCH_RAW = 512, 262_144  # of those that are sent; no rule


def begin(replica, start):
    """(position, {chain: seq}) that a starts-from names, or (the fault's code, its detail) where it can't be so."""
    if start == 0:
        return 0, {}
    if start[0] == 1:
        epoch, position = start[1:3]
        detail = {"epoch": replica.epoch.hex(), "floor": 0, "head": replica.head}
        if epoch != replica.epoch:
            return "cursor-epoch", detail
        return ("cursor-too-new", detail) if position > replica.head else (position, {})
    for chain, seq, id in (each[:3] for each in start[1]):
        mine = replica.chains.get(chain)
        if mine and mine.seq == seq and mine.id != id:
            raise Fault("fork")
    replica.heed_vector(start[1])
    return 0, {each[0]: each[1] for each in start[1]}


class Push:
    def __init__(self, session, number, position, vector, live, credit):
        self.session, self.number = session, number
        self.position, self.vector, self.live, self.credit = position, vector, live, credit
        self.acked = position
        self.caught_up = self.stopped = False
        self.wake = asyncio.Event()

    def up_to_date(self):
        return self.caught_up and self.position == self.acked == self.session.replica.head

    async def run(self):
        """Reads our log on whenever it grows. A batch that there is no credit for stays in hand."""
        replica, channel = self.session.replica, self.session.channel
        hand = None
        while not self.stopped:
            self.wake.clear()
            if not hand and self.position < replica.head:
                hand = self._next_batch()
            if hand and len(hand[-1]) <= self.credit:
                (last, count, *fields), hand = hand, None
                self.credit -= len(fields[-1])
                prev, self.position = self.position, last
                self.session.sent += count
                await channel.send(BATCH, self.number, prev, last, *fields)
            elif not hand and not self.caught_up:
                self.caught_up = True
                await channel.send(CAUGHT_UP, self.number, self.position, replica.digest())
            elif not hand and not self.live and self.acked >= self.position:
                break
            else:
                self.session.maybe_done()
                await self.wake.wait()
        del self.session.pushes[self.number]
        await channel.send(UNSUBSCRIBED, self.number, None)

    def _next_batch(self):
        """(last, how many entries, codec, raw bytes, data). Leaves out what the other side has: by its vector, or
        because it came from there. If that leaves nothing, the batch is empty and moves the cursor."""
        rows, size, last = [], 0, self.position
        for row in self.session.replica.store.read(self.position, BATCH_ENTRIES):
            last, chain, seq, prev, _, body, stem, changes_hash, signature, device, nonce = row
            if seq <= max(self.vector.get(chain, 0), self.session.remote_has.get(chain, 0)):
                continue
            rows.append((device, nonce, seq, prev, body, stem, changes_hash, signature))
            size += len(body or stem) + 100
            if size >= BATCH_RAW:
                break
        raw = encode_batch(rows)
        codec, data = pack(raw, "zstd" in self.session.capabilities)
        return last, len(rows), codec, len(raw), data

    def ack(self, last, credit):
        self.credit += credit
        if last < self.acked or last > self.position or self.credit > CREDIT_MAX:
            raise Fault("bad-message")
        self.acked = last
        self.wake.set()

    def stop(self):
        """As asked by UNSUBSCRIBE. What is being sent is sent to its end."""
        self.stopped = True
        self.wake.set()
