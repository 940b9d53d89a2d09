"""
This peer against another side that this test plays, message by message: /usr/bin/python3 examples/python/test_peer.py

What a node of good will never does, and what can't be seen from outside: durability, order, credit, holes, the clock.
"""

import asyncio
import base64
import hashlib
import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

import websockets  # noqa: E402

from testing import ENV, ROOT, Run, check, main, until  # noqa: E402
from tidelog import batch, ids, messages, noise, run, replica as replica_module  # noqa: E402
from tidelog.channel import Channel  # noqa: E402
from tidelog.commit import ZEROS, commit_id, encode_body, header, parse_body, sign_commit  # noqa: E402
from tidelog.errors import Fault  # noqa: E402
from tidelog.link import Link, parse_link  # noqa: E402
from tidelog.messages import (  # noqa: E402
    ACK, BATCH, CAUGHT_UP, HEARTBEAT, HELLO, PAIR, PAIRED, REFUSED, SUBSCRIBE, SUBSCRIBE_ALL, UNSUBSCRIBE, UNSUBSCRIBED,
)  # fmt: skip
from tidelog.pairing import join  # noqa: E402
from tidelog.peer import Session  # noqa: E402
from tidelog.pull import Pull  # noqa: E402
from tidelog.replica import Replica  # noqa: E402
from tidelog.store import Store  # noqa: E402
from tidelog.values import decode, encode  # noqa: E402

EPOCH = bytes.fromhex("c0c1c2c3c4c5c6c7")  # of the other side's log
OTHER_SEED, SALT = bytes(31) + b"\x01", bytes(16)
OTHER = ids.public_key(OTHER_SEED)
SPACE = ids.space_id(OTHER, SALT)
FOUNDING = ["~space", {"set": {"owner": OTHER, "salt": SALT, "name": "home"}}]
LIMITS = {"message": 4_194_304, "batch": 2_097_152}


class Author:
    """A device that writes, elsewhere. Its commits are rows as encode_batch takes them."""

    def __init__(self, seed, nonce=b"\x00" * 8):
        self.seed, self.nonce, self.device = seed, nonce, ids.public_key(seed)
        self.chain = ids.chain_id(SPACE, self.device, nonce)
        self.seq, self.id, self.time = 0, ZEROS, 1_767_225_600_000_000

    def commit(self, *changes, deps=None, time=None):
        self.time += 1
        data = encode_body(time or self.time, deps or {}, list(changes))
        body = parse_body(data, self.chain)
        head = header(SPACE, self.device, self.nonce, self.seq + 1, self.id, body.hash)
        signature = sign_commit(self.seed, head)
        row = self.device, self.nonce, self.seq + 1, self.id, data, body.stem, body.changes_hash, signature
        self.seq, self.id = self.seq + 1, commit_id(head, signature)
        return row


def erased(row):
    return *row[:4], None, *row[5:]


def role(device, value):
    return [f"~devices/{ids.device_id(device)}", {"set": {"role": value, "name": ""}}]


def note(number, **values):
    return [f"note/{number}", {"set": values}]


class Here:
    """A folder of this peer, in a space that the other side founded, and in which this device may write."""

    def __init__(self, folder, founded=True):
        self.folder, self.warnings = str(folder), []
        store = Store(self.folder)
        store.put(space=SPACE, epoch=bytes(8))
        store.close()
        self.open()
        self.owner = Author(OTHER_SEED)
        self.founding = self.owner.commit(FOUNDING, role(self.replica.device, "writer"))
        if founded:
            self.take(self.founding)

    def open(self):
        self.store = Store(self.folder)
        self.replica = Replica(self.store, SPACE, self.warnings.append)

    def reopen(self):
        self.store.close()
        self.open()

    def take(self, *rows):
        return self.replica.take(batch.encode_batch(rows))

    def refuses(self, *rows):
        before = self.replica.digest(), self.replica.head, values.get(self)
        try:
            self.take(*rows)
        except Fault as fault:
            same = before == (self.replica.digest(), self.replica.head, values.get(self))
            return fault.code if same else f"{fault.code}, and something changed"

    def get(self, number):
        return self.replica.state.get(f"note/{number}")


class values:  # of the state, to be compared
    @staticmethod
    def get(here):
        return {subject: here.replica.state.get(subject) for subject in here.replica.state.list()}


class FakeChannel:
    """Where a Channel is when the handshake is done: it keeps what this peer sends."""

    def __init__(self, device=OTHER, told=lambda kind, fields: None):
        self.device, self.hash, self.told = device, bytes(32), told
        self.sent, self.come, self.last_sent = [], asyncio.Queue(), time.monotonic()

    async def send(self, kind, *fields):
        decoded = messages.decode_message(messages.encode_message(kind, *fields))  # and so it has the right form
        self.sent.append(decoded)
        self.told(*decoded)

    async def receive(self):
        return await self.come.get()

    def is_open(self):
        pass

    def of(self, kind):
        return [fields for each, fields in self.sent if each == kind]


def hello(offers=True, epoch=EPOCH, head=9):
    return [1, "other", "test", [], LIMITS, [[SPACE, epoch, head, bytes(32)]] if offers else [], 0]


def batch_of(number, prev, last, *rows):
    raw = batch.encode_batch(rows)
    return [number, prev, last, 0, len(raw), raw]


async def begin(here, offers=True, live=True, device=OTHER):
    """A session that runs, and has heard HELLO."""
    channel = FakeChannel(device)
    session = Session(channel, here.replica, "python", live)
    running = asyncio.create_task(session.run())
    await hear(channel, HELLO, hello(offers))
    return channel, session, running


async def hear(channel, kind, fields):
    channel.come.put_nowait((kind, fields))
    await settle()


async def settle():
    for _ in range(20):
        await asyncio.sleep(0)


async def code_of(running):
    try:
        await asyncio.wait_for(running, 20)
    except Fault as fault:
        return fault.code


async def end(running):
    while not running.done():
        running.cancel()
        await asyncio.wait([running], timeout=1)


# Taking in


def durability(temp):
    """That the disk has a batch before its ACK goes out is seen in the system calls of a process of its own."""
    if not shutil.which("strace"):
        print("   strace is missing: the order of fsync and ACK is not looked at")
        return
    out = temp / "calls"
    command = ["strace", "-f", "-o", out, "-e", "trace=fsync,fdatasync,write", sys.executable, __file__, "--acks"]
    done = subprocess.run([*map(str, command), str(temp / "acks")], env=ENV, capture_output=True, text=True)
    calls = [line.split(" ", 1)[1].strip() for line in out.read_text().splitlines()] if out.exists() else []
    if done.returncode or not calls:
        print(f"   strace can't be used here: {done.stderr[-200:]}")
        return
    synced, order = False, []
    for call in calls:
        if call.startswith(("fsync(", "fdatasync(")):
            synced = True
        elif '"BATCH' in call:
            synced = False
        elif '"ACK' in call:
            order.append(synced)
    check("a batch is fsynced before its ACK goes out", order, [True] * 3)


def acks(folder):
    """The process that durability() looks at."""

    async def take_three():
        here = Here(folder)

        def told(kind, fields):
            if kind == ACK:
                os.write(1, b"ACK\n")

        channel = FakeChannel(told=told)
        session = Session(channel, here.replica, "python")
        await session.handle(HELLO, hello())
        pull = session.pulls[1]
        for last in (11, 12, 13):
            os.write(1, b"BATCH\n")
            await pull.batch(*batch_of(1, last - 1, last, here.owner.commit(note(1, n=last)))[1:])

    asyncio.run(take_three())


def one_transaction(temp):
    here = Here(temp / "transaction")
    genuine = here.store.set_cursor

    def fails(*args):
        genuine(*args)
        raise OSError("the disk is gone")

    here.store.set_cursor = fails
    row = here.owner.commit(note(1, n=1))
    try:
        here.replica.take(batch.encode_batch([row]), (OTHER, EPOCH, 10))
        check("a failure is raised", False)
    except OSError:
        pass
    check("where the cursor can't be stored, neither is the batch", (here.replica.head, here.get(1)), (1, {}))
    here.reopen()
    check("not on the disk either", (here.replica.head, here.store.cursor(OTHER)), (1, None))
    here.replica.take(batch.encode_batch([row]), (OTHER, EPOCH, 10))
    here.reopen()
    check("both are there after a restart", (here.get(1), here.store.cursor(OTHER)), ({"n": 1}, (EPOCH, 10)))
    here.take(row)
    check("what comes twice is skipped", here.replica.head, 2)


def founding(temp):
    here = Here(temp / "founding", founded=False)
    check("the first entry must found the space", here.refuses(here.owner.commit(note(1, n=1))), "unlinked")
    plain = Author(OTHER_SEED)
    check("an erased one doesn't", here.refuses(erased(plain.commit(FOUNDING))), "bad-space")
    plain = Author(OTHER_SEED)
    here.take(plain.commit(FOUNDING), plain.commit(note(1, n=1)))
    check("one that grants nobody anything does", here.get(1), {"n": 1})


def bombs():
    blocks = 100_000  # of 128 KiB each, in four bytes each: 12 GiB
    one = ((131_072 << 3) | 2).to_bytes(3, "little") + b"a"
    last = ((131_072 << 3) | 3).to_bytes(3, "little") + b"a"
    size = 1_000_000
    data = b"\x28\xb5\x2f\xfd\xa0" + size.to_bytes(4, "little") + one * blocks + last
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    try:
        batch.unpack(1, size, data)
        code = None
    except Fault as fault:
        code = fault.code
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    check("a frame that unpacks to more than it says is refused", code, "bad-batch")
    check("in a few MB", grown < 100_000)


def holes(temp):
    here = Here(temp / "holes")
    writer = Author(os.urandom(32))
    here.take(here.owner.commit(role(writer.device, "writer")))
    deps = {here.owner.chain: here.owner.seq}
    rows = [writer.commit(note(1, n=1), deps=deps), writer.commit(note(2, n=2)), writer.commit(note(3, n=3))]
    here.take(rows[0], erased(rows[1]), rows[2])
    check("changes that were withheld are a hole, and are reported", (here.get(2), len(here.warnings)), ({}, 1))
    check("the rest counts", (here.get(1), here.get(3)), ({"n": 1}, {"n": 3}))
    check("the vector names what is before it", here.replica.wanted_vector()[writer.chain][0], 1)
    here.reopen()
    check("a restart remembers it", here.replica.holes, {(writer.chain, 2)})
    here.take(*rows)
    check("a body fills it", (here.get(2), here.replica.holes), ({"n": 2}, set()))
    here.reopen()
    check("for good", here.get(2), {"n": 2})
    secret = writer.commit(role(writer.device, "owner"))  # what a writer may not write, and others may not see
    here.take(erased(secret))
    here.take(secret)
    check("what fills a hole is judged", len(here.replica.holes), 1)


def revocation(temp):
    here = Here(temp / "revocation")
    writer = Author(os.urandom(32))
    here.take(here.owner.commit(role(writer.device, "writer")))
    deps = {here.owner.chain: here.owner.seq}
    rows = [writer.commit(note(1, n=1), deps=deps), writer.commit(note(1, n=2))]
    here.take(*rows)
    member = f"~devices/{ids.device_id(writer.device)}"
    here.take(here.owner.commit([member, {"set": {"revoked": {writer.chain.hex(): 1}}}], deps={writer.chain: 2}))
    check("a revocation takes out what is past its cut", here.get(1), {"n": 1})
    kept = [row[5] is not None for row in here.store.read() if row[1] == writer.chain]
    check("its changes are dropped, what is within is kept", kept, [True, False])
    check("the device has no role any more", here.replica.role_of(writer.device), None)
    here.take(writer.commit(note(1, n=3)))
    check("what it writes later is taken, and void", (here.get(1), here.replica.head), ({"n": 1}, 6))
    here.reopen()
    check("after a restart too", (here.get(1), here.replica.holes), ({"n": 1}, set()))
    stranger = Author(os.urandom(32))
    check("of one who was never let in, nothing is taken", here.refuses(stranger.commit(note(9, n=9))), "unauthorized")
    gone = writer.chain
    check("nor what names what isn't here", here.refuses(here.owner.commit(note(9, n=9), deps={gone: 9})), "causal-gap")


# Writing


def writing(temp):
    here = Here(temp / "writing")
    own = here.replica

    def deps(entry):
        return {chain: seq for chain, seq in entry.body.deps.items()}

    owner = here.owner
    first = own.commit([note(1, n=1)])
    check("the first commit names every chain", deps(first), {owner.chain: 1})
    check("after writing alone there are no deps", deps(own.commit([note(1, n=2)])), {})
    here.take(owner.commit(note(2, n=1)), owner.commit(note(2, n=2)))
    check("what advanced is named, by its head", deps(own.commit([note(1, n=3)])), {owner.chain: 3})
    here.reopen()
    own = here.replica
    again = own.commit([note(1, n=4)])
    check("a restart goes on with the chain", (again.chain, again.seq, deps(again)), (first.chain, 4, {}))
    check("with what its own past covers merged", here.get(1), {"n": 4})

    own.heed_vector([[first.chain, 4, again.id]])
    check("a vector that knows no more changes nothing", own._own_chain(), first.chain)
    own.heed_vector([[first.chain, 5, bytes(32)]])
    new = own.commit([note(1, n=5)])
    check("one that knows more begins a new chain", (new.seq, new.chain != first.chain), (1, True))
    check("which names the old one", deps(new), {owner.chain: 3, first.chain: 4})


def lost_log(temp):
    """A folder that was restored from an older copy meets its own later commits."""
    here = Here(temp / "now")
    own = here.replica.commit([note(1, n=1)])
    here.store.close()
    shutil.copytree(temp / "now", temp / "copy")
    here.open()
    later = here.replica.commit([note(1, n=2)])
    row = later.device, later.nonce, later.seq, later.prev, later.body.data, None, None, later.signature
    here.store.close()
    here.folder = str(temp / "copy")
    here.open()
    here.take(row)
    again = here.replica.commit([note(1, n=3)])
    is_new = again.chain != own.chain
    check("a commit of its own chain that it didn't have begins a new chain", (again.seq, is_new), (1, True))
    check("and the state is right", here.get(1), {"n": 3})


def clock(temp):
    here = Here(temp / "clock")
    genuine, now = replica_module.now_us, replica_module.now_us()
    try:
        day = 86_400_000_000
        replica_module.now_us = lambda: now
        here.take(here.owner.commit(note(1, n=1), time=now + day))
        first = here.replica.commit([note(1, n=2)])
        check("a time within a day ahead is followed", first.body.time, now + day + 1)
        replica_module.now_us = lambda: now - 3 * day
        here.reopen()
        second = here.replica.commit([note(1, n=3)])
        check("times rise, also where the local clock went back", second.body.time, now + day + 2)
        replica_module.now_us = lambda: now
        here.take(here.owner.commit(note(2, n=1), time=now + 9 * day))
        check("one further ahead is taken, reported, and not followed", here.get(2), {"n": 1})
        check("(reported)", len(here.warnings), 1)
        check("(not followed)", here.replica.commit([note(1, n=4)]).body.time, now + day + 3)
    finally:
        replica_module.now_us = genuine


# Sessions


async def sessions(temp):
    here = Here(temp / "session", founded=False)
    channel, session, running = await begin(here)
    check("an empty log offers nothing", channel.of(HELLO)[0][5], [])
    check("and subscribes from the start", channel.of(SUBSCRIBE_ALL)[0][2], 0)
    await hear(channel, BATCH, batch_of(1, 0, 1, here.founding))
    check("HELLO is sent again when the log came", [each[0] for each in channel.of(HELLO)[1][5]], [SPACE])
    check("once", len(channel.of(HELLO)), 2)
    await hear(channel, BATCH, batch_of(1, 1, 2, here.owner.commit(note(1, n=1))))
    await hear(channel, CAUGHT_UP, [1, 5, bytes(32)])
    check("each is acknowledged, with its bytes as credit", [each[1] for each in channel.of(ACK)], [1, 2, 5])
    check("and the cursor is stored", here.store.cursor(OTHER), (EPOCH, 5))
    await hear(channel, BATCH, batch_of(1, 4, 6))
    check("a batch that doesn't follow ends it", await code_of(running), "cursor-mismatch")
    check("and the next starts from the vector", here.store.cursor(OTHER), None)
    channel, session, running = await begin(here)
    check("(it does)", channel.of(SUBSCRIBE_ALL)[0][2][0], 2)
    await hear(channel, CAUGHT_UP, [1, 5, bytes(32)])
    await end(running)
    channel, session, running = await begin(here)
    check("after that from the cursor", channel.of(SUBSCRIBE_ALL)[0][2], [1, EPOCH, 5])
    fault = Fault("cursor-too-new").encode({"epoch": EPOCH.hex(), "floor": 0, "head": 1})
    await hear(channel, UNSUBSCRIBED, [1, fault])
    number, _, start, *_ = channel.of(SUBSCRIBE_ALL)[1]
    vector = [[here.owner.chain, 2, here.owner.id]]
    check("a refused cursor: from the vector, on a new number", (number, start), (2, [2, vector]))
    await hear(channel, UNSUBSCRIBED, [2, fault])
    check("refused again, it isn't asked for a third time", await code_of(running), "cursor-too-new")

    channel, session, running = await begin(here)
    await hear(channel, UNSUBSCRIBED, [1, Fault("unknown-space").encode()])
    check("after unknown-space it waits", (running.done(), len(channel.of(SUBSCRIBE_ALL))), (False, 1))
    await hear(channel, HELLO, hello())
    check("for another HELLO", len(channel.of(SUBSCRIBE_ALL)), 2)
    await end(running)

    channel, session, running = await begin(here)
    member = f"~devices/{ids.device_id(OTHER)}"
    position = session.pulls[1].position or 0
    change = [member, {"set": {"revoked": {here.owner.chain.hex(): 2}}}]
    await hear(channel, BATCH, batch_of(1, position, position + 1, here.owner.commit(change)))
    check("a device whose revocation comes is cut off", await code_of(running), "device-revoked")
    check("and not spoken to again", await code_of((await begin(here))[2]), "device-revoked")


async def serving(temp):
    here = Here(temp / "serving")
    for i in range(3):
        here.replica.commit([note(i, text="".join(os.urandom(400_000).hex()))])
    own = here.replica

    channel, session, running = await begin(here)
    check("what it has is offered", channel.of(HELLO)[0][5], [[SPACE, bytes(8), 4, own.digest()]])
    await hear(channel, SUBSCRIBE_ALL, [1, SPACE, 0, True, 2_097_152])
    sent = channel.of(BATCH)
    size = sum(len(each[5]) for each in sent)
    check("it sends what there is credit for", (len(sent) > 0, size <= 2_097_152, sent[-1][2] < 4), (True, True, True))
    await hear(channel, ACK, [1, sent[0][2], 0])
    check("an ACK that gives nothing back brings nothing", (channel.of(BATCH), channel.of(CAUGHT_UP)), (sent, []))
    await hear(channel, ACK, [1, sent[0][2], len(sent[0][5])])
    for each in sent[1:]:
        await hear(channel, ACK, [1, each[2], len(each[5])])
    sent = channel.of(BATCH)
    check("then all of it, in order", [each[1] for each in sent[1:]], [each[2] for each in sent[:-1]])
    check("and says that this is all", channel.of(CAUGHT_UP), [[1, 4, own.digest()]])
    entries = [e for each in sent for e in batch.decode_batch(SPACE, batch.unpack(*each[3:]))[1]]
    check("each entry once", len(entries), 4)
    own.commit([note(1, n=1)])
    await settle()
    check("what it writes goes out live", channel.of(BATCH)[-1][1:3], [4, 5])
    await hear(channel, UNSUBSCRIBE, [1])
    check("until it is asked to stop", channel.of(UNSUBSCRIBED), [[1, None]])
    own.commit([note(1, n=2)])
    await settle()
    check("nothing comes after that", len(channel.of(BATCH)), len(sent) + 1)

    vector = [[here.owner.chain, 1, here.owner.id], [own._own_chain(), 4, own.store.id_at(own._own_chain(), 4)]]
    await hear(channel, SUBSCRIBE_ALL, [2, SPACE, [2, vector], False, 2_097_152])
    data = batch.unpack(*channel.of(BATCH)[-1][3:])
    check("from a vector, only what it lacks", [e.seq for e in batch.decode_batch(SPACE, data)[1]], [5])
    check("one that isn't live waits for its ACK", len(channel.of(UNSUBSCRIBED)), 1)
    await hear(channel, ACK, [2, 6, 0])
    check("and ends", channel.of(UNSUBSCRIBED)[-1], [2, None])

    def refused(number):
        return [fields[1][0] for fields in channel.of(UNSUBSCRIBED) if fields[0] == number]

    await hear(channel, SUBSCRIBE, [3, SPACE, 0, True, 2_097_152, [1, "note/"]])
    check("a filter is refused", refused(3), ["bad-request"])
    await hear(channel, SUBSCRIBE, [4, SPACE, [1, bytes(8), 99], True, 2_097_152, [1, "note/"]])
    check("after its cursor was looked at", refused(4), ["cursor-too-new"])
    await hear(channel, SUBSCRIBE_ALL, [5, SPACE, [1, EPOCH, 1], True, 2_097_152])
    check("a cursor of another epoch is refused", refused(5), ["cursor-epoch"])
    await hear(channel, SUBSCRIBE_ALL, [6, bytes(32), 0, True, 2_097_152])
    check("another space is refused", refused(6), ["unknown-space"])
    for number in (1, 99):
        await hear(channel, ACK, [number, 1, 1])
    check("an ACK for a subscription that isn't there is ignored", running.done(), False)
    await end(running)

    stranger = ids.public_key(os.urandom(32))
    running = (await begin(here, device=stranger))[2]
    check("no session with a device that is no member", await code_of(running), "not-paired")
    channel, session, running = await begin(here)
    await hear(channel, SUBSCRIBE_ALL, [1, SPACE, [2, [[here.owner.chain, 1, bytes(32)]]], True, 2_097_152])
    check("a vector with another head is a fork", await code_of(running), "fork")


async def vectors(temp):
    """The sessions of messages_invalid.json that a peer that connects can be in."""
    # It takes each batch before it looks at the next, so the credit can't be exceeded here.
    left_out = {"a BATCH past the credit"}
    cases = json.loads((ROOT / "test/vectors/messages_invalid.json").read_text())["sessions"]
    for index, case in enumerate(cases):
        if not case["isKnown"] or case["name"] in left_out:
            continue
        here = Here(temp / f"vector{index}")
        here.replica.space = bytes.fromhex("1f12af12692483e86f7f86bc3f10f2ec86bf9c509a50e8d772f2d9826a9106eb")
        here.replica.epoch = EPOCH
        for i in range(8):
            here.replica.commit([note(i, n=i)])
        channel = FakeChannel()
        session = Session(channel, here.replica, "python")

        def joined(value):
            parts = [value] if type(value) is str else value
            return b"".join(bytes.fromhex(p) if type(p) is str else bytes.fromhex(p[0]) * p[1] for p in parts)

        async def hears(value):
            await session.handle(*messages.decode_message(joined(value)))

        try:
            for way, value in case["before"]:
                kind, fields = messages.decode_message(joined(value))
                if way == "in":
                    await hears(value)
                    if kind == HELLO:
                        session.pulls.clear()  # the case subscribes by itself
                elif kind == BATCH:
                    await settle()  # this peer sends it now, and nothing before
                elif kind == SUBSCRIBE_ALL:
                    pull = session.pulls[fields[0]] = Pull(session, fields[0], EPOCH)
                    pull.position = fields[2] if fields[2] == 0 else fields[2][2] if fields[2][0] == 1 else None
            got = "a fault before the last"
            await hears(case["message"])
            await settle()
            got = None
        except Fault as fault:
            got = fault.code
        if session.end.done():
            got = session.end.exception().code
        check(f"vector: {case['name']}", got, case["code"])
        tasks = list(session.tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        here.store.close()


# The channel


class Socket:
    """Sends as slowly as it is told to."""

    def __init__(self):
        self.sent, self.gate, self.closed = [], asyncio.Event(), None

    async def send(self, data):
        await self.gate.wait()
        self.sent.append(data)

    async def recv(self):
        await asyncio.sleep(3600)

    async def close(self, code, reason=""):
        self.closed = code, reason


async def channels():
    channel = Channel(Socket(), None)
    channel.frames = noise.Frames(noise.Cipher(bytes(32)), None)
    task = asyncio.create_task(channel.send(BATCH, 1, 0, 1, 0, 200_000, bytes(200_000)))
    await settle()
    task.cancel()
    await settle()
    closing = asyncio.create_task(channel.close(Fault("internal")))
    await settle()
    channel.socket.gate.set()
    await closing
    reader = noise.Frames(None, noise.Cipher(bytes(32)))
    read = [messages.decode_message(each) for each in map(reader.open, channel.socket.sent) if each is not None]
    check("a message whose sender is cancelled is sent to its end", [kind for kind, _ in read], [BATCH, messages.ERROR])
    check("the close code is the fault's", channel.socket.closed, (4015, "internal"))

    channel = Channel(Socket(), time.monotonic())
    channel.frames = noise.Frames(None, None)
    try:
        await channel.receive()
        check("the time until HELLO is limited", False)
    except Fault as fault:
        check("the time until HELLO is limited, whatever comes", fault.code, "timeout")


async def joining():
    link = Link(OTHER, ["http://127.0.0.1:1"], SPACE, "writer", bytes(8), bytes(16), 0, "home")

    async def joins(*come):
        channel = FakeChannel()
        for each in come:
            channel.come.put_nowait(each)
        try:
            return await join(channel, bytes(32), link, "python", lambda text: None), channel.of(PAIR)[0][1]
        except Fault as fault:
            return fault.code

    used = REFUSED, [Fault("invite-used").encode()]
    check("PAIRED lets it in", await joins((HEARTBEAT, [[], 0]), (PAIRED, [SPACE, "home", "writer"])), (None, "python"))
    check("into another space, it doesn't", await joins((PAIRED, [bytes(32), "home", "writer"])), "wrong-space")
    kept, _ = await joins((HELLO, hello()), (PAIRED, [SPACE, "home", "writer"]))
    check("a HELLO that comes first is kept", kept, hello())
    check("a used invite is refused", await joins(used), "invite-used")
    check("but not where it was used by this device", (await joins((HELLO, hello()), used))[0], hello())
    check("nor where it offers another space", await joins((HELLO, hello(False)), used), "invite-used")


def pauses():
    for retry, first, most in ((True, 0.2, 5), (False, 2, 30)):
        spans = [[run.pause(attempt, retry) for _ in range(200)] for attempt in range(40)]
        check("a pause begins small", first * 0.7 < min(spans[0]) and max(spans[0]) < first * 1.3)
        check("grows", all(min(a) < min(b) for a, b in zip(spans[:4], spans[1:5])))
        check("to a limit", max(map(max, spans)) <= most * 1.25)
        check("and is jittered", len(set(spans[0])) > 100)


def link_to(port):
    fields = [OTHER, [f"http://127.0.0.1:{port}"], SPACE, "writer", bytes(8), bytes(16), 0, "home"]
    data = b"\x01" + encode(fields)
    assert decode(data[1:], 2) == fields
    code = base64.urlsafe_b64encode(data + hashlib.sha256(data).digest()[:4]).decode().rstrip("=")
    return f"http://127.0.0.1:{port}/#pair={code}"


async def rubbish(temp):
    """A listener that answers with anything. The loop of `run` tells each fault on a line, and goes on."""
    said = [
        (b"", "bad-handshake"),
        (bytes(192), "bad-handshake"),
        (os.urandom(192), "bad-handshake"),
        ("text", "bad-message"),
        (os.urandom(70_000), "unreachable"),  # closed by the WebSocket's own rules, with its own code
        (None, "unreachable"),
    ]
    connections, lines, pauses = [], [], []

    async def answer(socket):
        data = said[len(connections) % len(said)][0]
        connections.append(data)
        if data is not None:
            await socket.send(data)
            await socket.wait_closed()

    options = {"subprotocols": ["tidelog.1"], "compression": None}
    async with websockets.serve(answer, "127.0.0.1", 0, **options) as server:
        link = link_to(server.sockets[0].getsockname()[1])
        store = Store(temp / "rubbish")
        genuine, run.pause = run.pause, lambda attempt, retry: pauses.append((attempt, retry)) or 0
        try:
            loop = asyncio.create_task(run.Runner(store, print, lines.append).for_ever(parse_link(link), "python"))
            while len(lines) <= len(said) and not loop.done():
                await asyncio.sleep(0.01)
            await end(loop)
        finally:
            run.pause = genuine
            store.close()
        check("a line for each fault, with the code", [line.split(":")[0] for line in lines[:6]], [c for _, c in said])
        check("it goes on after each", len(lines) > len(said))
        check("and waits longer each time", [attempt for attempt, _ in pauses[:6]], [0, 1, 2, 3, 4, 5])
        check("and longest where a fault won't go by itself", [not retry for _, retry in pauses[:6]], [
            code != "unreachable" for _, code in said])  # fmt: skip

        process = Run(temp / "process", link)
        await asyncio.to_thread(until, "the command does that", lambda: "bad-" in process.text)
        check("SIGTERM ends it in good order", await asyncio.to_thread(process.stop), 0)
        check("without a traceback", "Traceback" in process.text or "internal" in process.text, False)


def no_link(temp):
    process = Run(temp / "cut", link_to(1)[:-3])
    check("a link that is none ends it at once", (process.process.wait(20), "bad-link" in process.text), (1, True))


def test(temp):
    durability(temp)
    for each in (one_transaction, founding, holes, revocation, writing, lost_log, clock):
        each(temp)
    bombs()
    pauses()
    for each in (sessions, serving, vectors):
        asyncio.run(each(temp))
    for each in (channels, joining):
        asyncio.run(each())
    asyncio.run(rubbish(temp))
    no_link(temp)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--acks"]:
        acks(sys.argv[2])
    else:
        sys.exit(main(test))
