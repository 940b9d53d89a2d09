"""
Seven years of a real history, both ways: /usr/bin/python3 examples/python/test_real_data.py HISTORY

HISTORY is tldr-history-2013-2020.ndjson.gz. The node writes the first half of it, which flows to this peer; this peer
writes the rest, which flows to the node; then a second node, which has nothing but the founding of the space and knows
nobody else, gets all of it from this peer alone. All three must show what a plain replay of the file gives.
"""

import gzip
import json
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE))

from testing import Node, Run, check, counts, main, python, same_states, until  # noqa: E402
from tidelog.run import open_replica  # noqa: E402
from tidelog.store import Store  # noqa: E402

SECONDS = 300  # generous: other work may share the machine


def replayed(lines):
    """What the state must be, without any of our code: the last `set` of each property that nothing removed."""
    state = {}
    for line in lines:
        for change in line["changes"]:
            if change.get("destroy"):
                state.pop(change["subject"], None)
            if "set" in change:
                state.setdefault(change["subject"], {}).update(change["set"])
    return state


def shown(export):
    return {each["subject"]: each["set"] for each in map(json.loads, export.splitlines())}


def write(folder, lines):
    """As many commits of this peer, each on the disk before the next."""
    store = Store(folder)
    try:
        replica = open_replica(store, print)
        for line in lines:
            changes = []
            for change in line["changes"]:
                changes.append([change["subject"], {op: change[op] for op in ("destroy", "set") if op in change}])
            replica.commit(changes)
    finally:
        store.close()


class Timer:
    def __init__(self):
        self.start = time.monotonic()

    def rate(self, what, count):
        seconds = time.monotonic() - self.start
        print(f"   {what}: {count} commits in {seconds:.1f} s, {count / seconds:.0f}/s", flush=True)


def test(temp):
    with gzip.open(sys.argv[1], "rt") as file:
        # Who wrote a line, and when, the node would store too; here only what was written matters.
        lines = [{"changes": json.loads(line)["changes"]} for line in file]
    half = len(lines) // 2
    first = temp / "first.ndjson"
    first.write_text("".join(json.dumps(line) + "\n" for line in lines[:half]))

    # A space of three, while it is still empty; the second node is then off until the end.
    a, b, p = Node(temp / "a", "first"), Node(temp / "b", "second"), str(temp / "p")
    a.start()
    python(p, "join", a.invite())
    b("pair", "join", a.invite("owner"))
    check("all three are members", (node_commits(a), node_commits(b)), (3, 3))

    # From the node to this peer, live.
    timer = Timer()
    follower = Run(p, a.invite())
    a("import", str(first))
    until("all of it", lambda: len(python(p, "log").splitlines()) == node_commits(a), SECONDS)
    timer.rate("node to this peer, with the import", half)
    check("it stops when asked", follower.stop(), 0)
    check("what this peer shows is the replay of that half", shown(python(p, "export")) == replayed(lines[:half]))

    # From this peer to the node.
    timer = Timer()
    write(p, lines[half:])
    timer.rate("written by this peer", len(lines) - half)
    timer = Timer()
    (_, _, sent), _ = counts(python(p, "sync"))
    timer.rate("this peer to the node, in a process", sent)
    check("the rest went out, each commit once", sent, len(lines) - half)
    (_, new, sent), digests = counts(python(p, "sync"))
    check("then nothing is left to send, nor to get", (new, sent), (0, 0))
    check("both have the same digest", len(digests) == 2 and digests[0] == digests[1])
    expected = replayed(lines)
    check("this peer shows the replay of all", shown(python(p, "export")) == expected)
    check("the node too", shown(a("export")) == expected)
    same_states("the two exports are the same", p, a)

    # A peer that begins with nothing gets all at once, from many batches.
    timer = Timer()
    (got, new, _), digests = counts(python(str(temp / "q"), "join", a.invite("mirror")))
    timer.rate("all to a new peer, in a process", got)
    check("a new peer gets all of it, each commit once", (got, new), (node_commits(a), node_commits(a)))
    check("with the same digest", len(digests) == 2 and digests[0] == digests[1])
    same_states("and the same state", str(temp / "q"), a)

    # To a node that this peer alone tells of it.
    a.stop()
    b.start()
    timer = Timer()
    (_, _, sent), _ = counts(python(p, "sync", "--connect", b.origin))
    timer.rate("this peer to the second node, in a process", sent)
    check("the second node gets all that it lacked from this peer", sent >= len(lines))
    digests = counts(python(p, "sync", "--connect", b.origin))[1]
    check("and has its digest", len(digests) == 2 and digests[0] == digests[1])
    check("and shows the replay of all", shown(b("export")) == expected)


def node_commits(node):
    return node.json("status")["spaces"][0]["commits"]


def last_digest(follower):
    return follower.text.rsplit("digest ", 1)[-1].split()[0] if "digest" in follower.text else None


if __name__ == "__main__":
    sys.exit(main(test))
