"""A subscription of ours: batches come in, and are acknowledged when they are on the disk (section 11.3 to 11.9)."""

from .batch import unpack
from .errors import Fault
from .messages import ACK, CREDIT_DEFAULT, SUBSCRIBE_ALL, VECTOR_CHAINS_MAX

CURSOR_FAULTS = ("cursor-epoch", "cursor-too-old", "cursor-too-new")


class Pull:
    def __init__(self, session, number, epoch):
        self.session, self.number = session, number
        self.epoch = epoch  # of the sender's log, as its space state named it when this began
        self.position = None  # None after a start from a vector, until the sender says where it begins
        self.from_cursor = False
        self.ended = False
        self.refused = False

    async def start(self):
        """From the cursor, if it is of this log; else from the vector, and with nothing at all from the start."""
        replica, channel = self.session.replica, self.session.channel
        cursor = replica.store.cursor(channel.device)
        vector = replica.wanted_vector()
        if cursor and cursor[0] == self.epoch and not replica.holes:
            start, self.position, self.from_cursor = [1, *cursor], cursor[1], True
        elif vector and len(vector) <= VECTOR_CHAINS_MAX:
            start = [2, [[chain, seq, id] for chain, (seq, id) in vector.items()]]
        else:
            start = self.position = 0
        self.session.say(f"subscribes from {('the start', 'cursor', 'vector')[start and start[0]]}")
        await channel.send(SUBSCRIBE_ALL, self.number, replica.space, start, self.session.live, CREDIT_DEFAULT)

    async def batch(self, prev, last, codec, raw_bytes, data):
        """The checks of section 11.5, in its order."""
        if self.position is not None and prev != self.position:
            self._lost()
        # Each batch is acknowledged, and its credit given back, before the next is read: so the credit is never
        # exceeded here. One that reads ahead must add up what isn't acknowledged (credit-exceeded).
        raw = unpack(codec, raw_bytes, data)
        # take() returns when the batch and the cursor are on the disk: only now is there anything to acknowledge.
        cursor = self.session.channel.device, self.epoch, last
        self.session.took(*self.session.replica.take(raw, cursor, last - prev))
        self.position = last
        await self.session.channel.send(ACK, self.number, last, len(data))

    async def caught_up(self, last, digest):
        if self.position is not None and last < self.position:
            self._lost()
        self.session.say(f"caught up at {last}, digest {digest.hex()}")
        if last != self.position:
            store = self.session.replica.store
            with store:
                store.set_cursor(self.session.channel.device, self.epoch, last)
            self.position = last
            await self.session.channel.send(ACK, self.number, last, 0)

    def _lost(self):
        """The sender and we disagree on where we are; the next connection starts from the vector."""
        self.session.replica.store.forget_cursor(self.session.channel.device)
        raise Fault("cursor-mismatch")

    def unsubscribed(self, fault):
        """Whether to begin anew at once, from the vector. After unknown-space another HELLO is waited for."""
        self.ended = True
        if fault is None:
            return False
        if fault[0] in CURSOR_FAULTS and self.from_cursor:
            self.session.replica.store.forget_cursor(self.session.channel.device)
            return True
        if self.session.live and fault[0] not in CURSOR_FAULTS:
            # The subscription only: the other direction goes on (section 11.9). Another HELLO may mend unknown-space, and nothing else.
            self.refused = fault[0] != "unknown-space"
            self.session.say(f"{fault[0]}: it sends nothing on this connection")
            return False
        raise Fault.told(fault)
