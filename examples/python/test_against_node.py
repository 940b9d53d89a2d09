"""
This peer against a real node: /usr/bin/python3 examples/python/test_against_node.py [FILE]

FILE is something that `tidelog import` takes; without it a small one is made. The node is the one of this repository.
"""

import asyncio
import json
import sys
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from testing import Node, Run, check, counts, main, node, python, same_states, until  # noqa: E402
from tidelog import batch, ids, pull, push  # noqa: E402
from tidelog.errors import Fault  # noqa: E402
from tidelog.run import Runner  # noqa: E402
from tidelog.store import Store  # noqa: E402


def make_file(path):
    with open(path, "w") as file:
        for i in range(3000):
            change = {"subject": f"page/{i % 700}", "set": {"title": f"Page {i}", "body": f"text {i} " * (i % 90)}}
            file.write(json.dumps({"changes": [change]}) + "\n")


def against(temp, file):
    a = Node(temp / "a", "laptop")
    p, q, r = (str(temp / name) for name in "pqr")
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
    python(p, "set", "note/1", "title", '"Milk"')
    python(p, "set", "note/1", "tags", "[1,2.5,null,false]")
    (got, new, sent), _ = counts(python(p, "sync"))
    check("gives its own commits", sent, 2)
    check("gets only what is new", (got, new), (1, 1))  # that q joined
    check("the node has it", a.json("get", "note/1"), {"title": "Milk", "tags": [1, 2.5, None, False]})
    # Our commit came behind the position that our cursor names, and a new connection knows nothing of the old one.
    (got, new, sent), _ = counts(python(p, "sync"))
    check("its own commits come back at most once, and are skipped", (got <= 2, new, sent), (True, 0, 0))
    (got, _, sent), digests = counts(python(p, "sync"))
    check("then nothing travels twice", (got, sent), (0, 0))
    check("digests agree again", digests[0] == digests[1])
    (got, new, _), digests = counts(python(q, "sync"))
    check("a second peer gets it through the node", (got, new), (2, 2))

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
    follower = Run(p, a.invite())
    until("follows", lambda: "caught up" in follower.text)
    for i in range(5):
        a("set", "live/1", f"n={i}")
    until("live commits come", lambda: python(p, "get", "live/1").strip() == '{"n":4}')
    check("a folder has one writer", python(p, "set", "x", "y", "1", fails="data-in-use"))
    check("SIGTERM ends it in good order", follower.stop(), 0)
    (got, _, sent), digests = counts(python(p, "sync"))
    check("a restart resumes from the cursor", (got, sent), (0, 0))
    check("digests agree after that", digests[0] == digests[1])

    # The node goes away, and comes back; this peer is killed.
    follower = Run(p, a.invite())
    until("follows again", lambda: "caught up" in follower.text)
    a.stop()
    until("tries again while the node is away", lambda: follower.text.count("unreachable") >= 3)
    a("set", "away/1", "n=1")  # the command opens the stopped node's data
    a.start()
    until("connects again by itself", lambda: python(p, "get", "away/1").strip() == '{"n":1}')
    follower.kill()
    a("set", "away/2", "n=2")
    python(p, "set", "away/3", "n", "3")  # written while it isn't connected
    follower = Run(p, a.invite())
    until("its own commit goes out then", lambda: has(a, "away/3"))
    until("and the other one comes", lambda: python(p, "get", "away/2").strip() == '{"n":2}')
    check("SIGTERM again", follower.stop(), 0)
    check("nothing came twice after the kill", len(set(python(p, "log").splitlines())), node_head(a))

    # Both write without having seen each other.
    a("set", "both/1", "who=nobody", "keep=1")  # then both have seen this
    python(p, "sync")
    python(p, "set", "both/1", "who", '"python"')
    python(p, "inc", "count/1", "n", "5")
    python(p, "add", "set/1", "tags", '"a"', '"b"', "3")
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
    check("the later one shows", json.loads(python(p, "get", "both/1"))["who"], "laptop")
    check("the other one is a conflict", python(p, "conflicts", "both/1"), 'who ["python"]\n')
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
        check(f"an altered batch is refused: {what}", altered(p, alter) in codes)
        check("and nothing of it is stored", (python(p, "digest"), cursor_of(p)), before)
        python(p, "sync")
    check("then the genuine one is taken", json.loads(python(p, "get", "altered"))["text"], "genuine cut short")
    check("the node refuses an altered batch of ours", altered_by_us(p), "bad-signature")
    python(p, "sync")
    check("and takes the genuine one", a.json("get", "altered")["by"], "python")

    # A second node: something that a revocation makes void after it was taken.
    b = Node(temp / "b", "desk")
    b("pair", "join", a.invite("owner"))
    b.start()
    until("a second node joins", lambda: node_head(a) == node_head(b))
    python(p, "sync")
    python(q, "set", "honest/1", "text", '"stays"')
    python(q, "sync")
    a.stop()
    python(q, "set", "rogue/1", "text", '"void"')
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
    check("after it, it is gone", python(p, "get", "rogue/1"), "null\n")
    check("what the revoker had stays", json.loads(python(p, "get", "honest/1")), {"text": "stays"})
    check("and the log is the same", len(set(counts(python(p, "sync"))[1])), 1)
    same_states("states agree after the revocation", p, a, b)
    (got, new, _), digests = counts(python(r, "join", a.invite("mirror")))
    check("a new peer takes erased commits", (got == new, digests[0] == digests[1]), (True, True))
    same_states("its state is the same", r, a)
    check("it may not write", python(r, "set", "x", "y", "1", fails="read-only"))
    a("devices", "role", ids.device_id(device_of(r)), "writer")
    python(r, "sync")
    python(r, "set", "x", "y", "1")
    python(r, "sync")
    check("now it may", a.json("get", "x"), {"y": 1})


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


def has(node, subject):
    return node.get(subject) is not None


def session(folder):
    """A sync in this process; the code of the fault that ended it."""
    store = Store(folder)
    try:
        runner = Runner(store, lambda text: None, lambda text: None)
        asyncio.run(runner.once(json.loads(store.get("origins")), store.get("remote"), False))
    except Fault as fault:
        return fault.code
    finally:
        store.close()


def altered(folder, alter):
    """What comes is altered before this peer looks at it."""
    genuine = pull.unpack
    pull.unpack = lambda *args: alter(genuine(*args))
    try:
        return session(folder)
    finally:
        pull.unpack = genuine


def altered_by_us(folder):
    """What this peer sends is altered."""
    python(folder, "set", "altered", "by", '"python"')
    push.encode_batch = lambda rows: batch.encode_batch(rows).replace(b"python", b"Python")
    try:
        return session(folder)
    finally:
        push.encode_batch = batch.encode_batch


def test(temp):
    file = sys.argv[1] if len(sys.argv) > 1 else str(temp / "made.ndjson")
    if len(sys.argv) < 2:
        make_file(file)
    against(temp, file)


if __name__ == "__main__":
    sys.exit(main(test))
