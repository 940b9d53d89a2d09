"""
This peer against a real node: /usr/bin/python3 examples/python/test_against_node.py [FILE]

FILE is something that `tidelog import` takes; without it a small one is made. The node is the one of this repository.
First come the worked examples of docs/PROTOCOL.md.
"""

import asyncio
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
sys.path.insert(0, str(HERE))

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: E402

from tidelog import batch, commit, ids, link, messages, noise, peer  # noqa: E402
from tidelog.errors import Fault  # noqa: E402
from tidelog.replica import Replica  # noqa: E402
from tidelog.store import Store  # noqa: E402

ENV = {**os.environ, "PATH": f"{ROOT}/node_modules/.bin:{os.environ['PATH']}", "PYTHONPATH": str(HERE)}
ENV.pop("TIDELOG_DATA", None)
passed = 0


def check(what, got, expected=True):
    global passed
    if got != expected:
        raise AssertionError(f"{what}\n  got      {str(got)[:600]}\n  expected {str(expected)[:600]}")
    passed += 1
    print(f"ok {passed} {what}")


# The worked examples


def example(name):
    text = (ROOT / "docs/PROTOCOL.md").read_text()
    block = re.search(rf"<!-- example: {re.escape(name)} -->\s+```text\n(.*?)```", text, re.S).group(1)
    out, key = {}, None
    for line in block.splitlines():
        label, mark, value = line.partition(" = ")
        if mark and not line.startswith("    "):
            key, line = label.strip(), value
            out[key] = ""
        out[key] += line.strip()
    return out


def raw(text):
    return bytes.fromhex(text)


def examples():
    one = example("device ID")
    key = ids.public_key(raw(one["seed"]))
    check("example: public key", key.hex(), one["public key"])
    check("example: device ID", ids.device_id(key), one["device ID"])
    check("example: device ID read", ids.parse_device_id(one["device ID"].lower().replace("O", "0")), key)
    one_space = example("space")
    space = ids.space_id(raw(one_space["owner key"]), raw(one_space["salt"]))
    check("example: space id", space.hex(), one_space["space id"])
    prev, nonce = commit.ZEROS, raw(example("commit 1")["nonce"])
    for seq in (1, 2):
        given = example(f"commit {seq}")
        body = commit.parse_body(raw(given["body"]), b"")
        header = commit.header(space, key, nonce, seq, prev, body.hash)
        signature = commit.sign_commit(raw(one["seed"]), header)
        prev = commit.commit_id(header, signature)
        check(f"example: commit {seq}, body hash", body.hash.hex(), given["body hash"])
        check(f"example: commit {seq}, header", header.hex(), given["header"])
        check(f"example: commit {seq}, signature", signature.hex(), given["signature"])
        check(f"example: commit {seq}, id", prev.hex(), given["commit id"])
    given = example("batch")
    _, entries = batch.decode_batch(space, raw(given["batch data"]))
    check("example: batch read", entries[-1].id, prev)
    rows = [(e.device, e.nonce, e.seq, e.prev, e.body.data, None, None, e.signature) for e in entries]
    check("example: batch written", batch.encode_batch(rows).hex(), given["batch data"])
    given = example("digest")
    check("example: digest of nothing", ids.digest({}).hex(), given["of no chain"])
    check("example: digest", ids.digest({entries[-1].chain: (2, prev)}).hex(), given["of the chain at seq 2"])
    given = example("handshake")
    private = {n: X25519PrivateKey.from_private_bytes(raw(given[f"initiator {n}"])) for n in ("static", "ephemeral")}
    channel = noise.Initiator(raw(given["initiator seed"]), None, private["static"], private["ephemeral"])
    check("example: handshake, message 1", channel.message_1().hex(), given["message 1"])
    channel.read(raw(given["message 2"]))
    check("example: handshake, message 3", channel.message_3().hex(), given["message 3"])
    check("example: handshake hash", channel.hash.hex(), given["handshake hash"])
    check("example: digits", noise.digits(channel.hash), given["digits"])
    frame = noise.Frames(channel.send, channel.receive).seal(raw(given["HEARTBEAT, encoded"]))[0]
    check("example: first frame", frame.hex(), given["first frame, sealed"])
    proof = example("pairing")
    parsed = link.parse_link(proof["link"])
    check("example: link", (parsed.invite.hex(), parsed.secret.hex()), (proof["invite id"], proof["secret"]))
    check("example: proof", link.proof(parsed.secret, channel.hash, raw(proof["joiner key"])).hex(), proof["proof"])
    for name in ("HELLO", "HEARTBEAT", "SUBSCRIBE_ALL", "SUBSCRIBE", "BATCH", "CAUGHT_UP", "ACK", "UNSUBSCRIBE",
                 "UNSUBSCRIBED", "PAIR", "PAIRED", "REFUSED", "ERROR"):  # fmt: skip
        kind, fields = messages.decode_message(raw(example(name)["bytes"]))
        check(f"example: {name}", messages.encode_message(kind, *fields).hex(), example(name)["bytes"])


# Processes


def node(folder, *args):
    done = subprocess.run(
        ["node", "bin/tidelog.js", *args, "--data", folder], cwd=ROOT, env=ENV, capture_output=True, text=True
    )
    if done.returncode:
        raise AssertionError(f"node {args[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def python(folder, *args, fails=None):
    done = subprocess.run(
        [sys.executable, "-m", "tidelog", *args, "--data", folder], env=ENV, capture_output=True, text=True, timeout=120
    )
    if fails:
        return done.returncode == 1 and fails in done.stderr
    if done.returncode:
        raise AssertionError(f"python {args[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def same_states(what, folder, *nodes):
    """`export` of this peer and of nodes, line by line."""
    own = [json.loads(line) for line in python(folder, "export").splitlines()]
    for each in nodes:
        theirs = [json.loads(line) for line in each("export").splitlines()]
        check(what, [line for line in own if line not in theirs] + [line for line in theirs if line not in own], [])
        check(f"{what}, in the same order", own == theirs)


def counts(output):
    """What `sync` and `join` say at their end."""
    line = re.search(r"entries (\d+) new (\d+) sent (\d+)", output)
    digests = re.findall(r"^(?:digest|theirs) ([0-9a-f]{64})$", output, re.M)
    return tuple(map(int, line.groups())), digests


def until(what, test, seconds=20):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    check(what, True)


class Node:
    def __init__(self, folder, name, new=True):
        self.folder, self.process = str(folder), None
        if new:
            node(self.folder, "init", "--name", name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"

    def start(self, *more):
        self.log = open(self.folder + ".log", "a")
        self.process = subprocess.Popen(
            ["node", "bin/tidelog.js", "start", "--port", str(self.port), "--log", "json", "--data", self.folder, *more],
            cwd=ROOT, env=ENV, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        for _ in range(100):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the node did not start")

    def stop(self):
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def __call__(self, *args):
        return node(self.folder, *args)

    def json(self, *args):
        return json.loads(self(*args, "--json"))

    def invite(self, role="writer"):
        return self.json("pair", "invite", "--no-wait", "--role", role)["link"]


def make_file(path):
    with open(path, "w") as file:
        for i in range(3000):
            change = {"subject": f"page/{i % 700}", "set": {"title": f"Page {i}", "body": f"text {i} " * (i % 90)}}
            file.write(json.dumps({"changes": [change]}) + "\n")


def against(temp, file):
    a = Node(temp / "a", "laptop")
    nodes = [a]
    p, q, r = (str(temp / name) for name in "pqr")
    try:
        a.start()
        lines = a.json("import", file)["lines"]

        # Pair, and get everything.
        (got, new, _), digests = counts(python(p, "join", a.invite(), "--name", "python"))
        check("joins and gets everything once", (got, new), (lines + 2, lines + 2))
        check("digests agree", len(digests) == 2 and digests[0] == digests[1])
        same_states("states agree", p, a)
        check("an invite works once", python(q, "join", used := a.invite()) != "" and python(
            str(temp / "again"), "join", used, fails="invite-used"))  # fmt: skip
        check("a link cut short is refused", python(str(temp / "cut"), "join", used[:-3], fails="bad-link"))

        # Both ways, from the cursor.
        python(p, "set", "note/1", "title=Milk", "done=false", "tags=[1,2.5,null]")
        (got, new, sent), _ = counts(python(p, "sync"))
        check("gives its own commit", sent, 1)
        check("gets only what is new", (got, new), (1, 1))  # that q joined
        check("the node has it", a.json("get", "note/1"), {"title": "Milk", "done": False, "tags": [1, 2.5, None]})
        # Our commit came behind the position that our cursor names, and a new connection knows nothing of the old one.
        (got, new, sent), _ = counts(python(p, "sync"))
        check("its own commit comes back at most once, and is skipped", (got <= 1, new, sent), (True, 0, 0))
        (got, _, sent), digests = counts(python(p, "sync"))
        check("then nothing travels twice", (got, sent), (0, 0))
        check("digests agree again", digests[0] == digests[1])
        (got, new, _), digests = counts(python(q, "sync"))
        check("a second peer gets it through the node", (got, new), (1, 1))

        # From a vector, after the cursor was lost.
        store = Store(p)
        store.db.execute("DELETE FROM cursors")
        store.close()
        a("set", "note/2", "n=1")
        out = python(p, "sync")
        check("starts from its vector", "subscribes from vector" in out)
        check("gets only what the vector doesn't cover", counts(out)[0], (1, 1, 0))
        store = Store(p)
        store.db.execute("UPDATE cursors SET position = position + 1000")
        store.close()
        out = python(p, "sync")
        check("after cursor-too-new it starts from its vector", "subscribes from vector" in out and counts(out)[0][0] == 0)

        # Live.
        following = subprocess.Popen(
            [sys.executable, "-m", "tidelog", "follow", "--data", p], env=ENV, stdout=open(temp / "follow", "w")
        )
        try:
            until("follows", lambda: "caught up" in (temp / "follow").read_text())
            for i in range(5):
                a("set", "live/1", f"n={i}")
            until("live commits come", lambda: (temp / "follow").read_text().count('"live/1"') == 5)
        finally:
            following.send_signal(signal.SIGINT)
            following.wait(10)
        check("what came live is stored", json.loads(python(p, "get", "live/1")), {"n": 4})
        (got, _, sent), digests = counts(python(p, "sync"))
        check("a restart resumes from the cursor", (got, sent), (0, 0))
        check("digests agree after that", digests[0] == digests[1])

        # Both write without having seen each other.
        a("set", "both/1", "who=nobody", "keep=1")  # then both have seen this
        python(p, "sync")
        python(p, "set", "both/1", "who=python")
        python(p, "inc", "count/1", "n", "5")
        python(p, "add", "set/1", "tags", "a", "b", "3")
        a("set", "both/1", "who=laptop")
        more = temp / "more.ndjson"
        more.write_text(
            '{"changes":[{"subject":"count/1","inc":{"n":7}},{"subject":"set/1","add":{"tags":["b","c",[1]]}}]}\n'
            '{"changes":[{"subject":"set/1","remove":{"tags":["a","c"]}}]}\n'
        )
        a("import", str(more))
        python(p, "sync")
        python(p, "rm", "note/2")
        a("set", "note/2", "later=true")
        python(p, "sync")
        python(p, "sync")
        check("the later one shows", json.loads(python(p, "get", "both/1").splitlines()[0])["who"], "laptop")
        check("the other one is a conflict", 'conflict who ["python"]' in python(p, "get", "both/1"))
        check("the node says so too", "python" in a("conflicts", "--json"))
        check("counters add up", (python(p, "get", "count/1").strip(), a.json("get", "count/1")), ('{"n":12}', {"n": 12}))
        check("sets join", json.loads(python(p, "get", "set/1")), a.json("get", "set/1"))
        check("an edit survives a destroy", json.loads(python(p, "get", "note/2")), a.json("get", "note/2"))
        same_states("states agree after all that", p, a)

        # Altered on the way.
        for what, alter, codes in (
            ("a byte of a body", lambda d: d.replace(b"genuine", b"Genuine"), {"bad-signature"}),
            ("a signature", lambda d: d[:-1] + bytes([d[-1] ^ 1]), {"bad-signature"}),
            ("cut short", lambda d: d[:-1], {"bad-batch"}),
        ):
            a("set", "altered", f"text=genuine {what}")
            before = python(p, "digest"), cursor_of(p)
            check(f"an altered batch is refused: {what}", asyncio.run(altered(p, alter)) in codes)
            check("and nothing of it is stored", (python(p, "digest"), cursor_of(p)), before)
            python(p, "sync")
        check("then the genuine one is taken", json.loads(python(p, "get", "altered"))["text"], "genuine cut short")
        check("the node refuses an altered batch of ours", asyncio.run(altered_by_us(p)), "bad-signature")
        python(p, "sync")
        check("and takes the genuine one", a.json("get", "altered")["by"], "python")

        # A second node: something that a revocation makes void after it was taken.
        b = Node(temp / "b", "desk")
        nodes.append(b)
        b("pair", "join", a.invite("owner"))
        b.start()
        until("a second node joins", lambda: node_head(a) == node_head(b))
        python(p, "sync")
        python(q, "set", "honest/1", "text=stays")
        python(q, "sync")
        a.stop()
        python(q, "set", "rogue/1", "text=void")
        python(q, "sync", "--connect", b.origin)
        python(p, "sync", "--connect", b.origin)
        check("before the revocation it counts", json.loads(python(p, "get", "rogue/1")), {"text": "void"})
        b.stop()  # or it would tell a, and the revocation leave what a has
        a.start()
        a("devices", "revoke", ids.device_id(device_of(q)))
        check("a revoked device is told", python(q, "sync", fails="device-revoked"))
        b.start("--connect", a.origin)
        until("the nodes meet", lambda: "rogue" not in b("ls") and node_head(a) == node_head(b))
        python(p, "sync", "--connect", b.origin)
        check("after it, it is gone", python(p, "get", "rogue/1", fails="not-found"))
        check("what the revoker had stays", json.loads(python(p, "get", "honest/1")), {"text": "stays"})
        check("and the log is the same", len(set(counts(python(p, "sync"))[1])), 1)
        same_states("states agree after the revocation", p, a, b)
        (got, new, _), digests = counts(python(r, "join", a.invite("mirror")))
        check("a new peer takes erased commits", (got == new, digests[0] == digests[1]), (True, True))
        same_states("its state is the same", r, a)
        check("it may not write", python(r, "set", "x", "y=1", fails="read-only"))
        a("devices", "role", ids.device_id(device_of(r)), "writer")
        python(r, "sync")
        python(r, "set", "x", "y=1")
        python(r, "sync")
        check("now it may", a.json("get", "x"), {"y": 1})
    finally:
        for each in nodes:
            each.stop()


def node_head(node):
    return node.json("status")["spaces"][0]["commits"]


def device_of(folder):
    return ids.public_key(Path(folder, "device.key").read_bytes())


def cursor_of(folder):
    store = Store(folder)
    try:
        return store.db.execute("SELECT * FROM cursors ORDER BY device").fetchall()
    finally:
        store.close()


async def session(folder):
    """A sync in this process; the code of the fault that ended it."""
    store = Store(folder)
    try:
        replica = Replica(store, store.get("space"))
        origins = json.loads(store.get("origins"))
        connection = await peer.reach(
            store.seed, "python", origins, store.get("remote"), replica=replica, live=False
        )
        try:
            await connection.run()
        except Fault as fault:
            await connection.close(fault)
            return fault.code
        await connection.close()
    finally:
        store.close()


async def altered(folder, alter):
    genuine = peer.unpack
    peer.unpack = lambda *args: alter(genuine(*args))
    try:
        return await session(folder)
    finally:
        peer.unpack = genuine


async def altered_by_us(folder):
    python(folder, "set", "altered", "by=python")
    genuine = peer.encode_batch
    peer.encode_batch = lambda rows: genuine(rows).replace(b"python", b"Python") if rows else genuine(rows)
    try:
        return await session(folder)
    finally:
        peer.encode_batch = genuine


def main():
    temp = Path(tempfile.mkdtemp(prefix="tidelog-python-"))
    try:
        examples()
        file = sys.argv[1] if len(sys.argv) > 1 else str(temp / "made.ndjson")
        if len(sys.argv) < 2:
            make_file(file)
        against(temp, file)
    except AssertionError as error:
        print(f"FAILED {error}\n{passed} passed, 1 failed")
        return 1
    finally:
        shutil.rmtree(temp, ignore_errors=True)
    print(f"{passed} passed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
