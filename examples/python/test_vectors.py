"""
This peer against what docs/PROTOCOL.md works out byte for byte, and against test/vectors:
/usr/bin/python3 examples/python/test_vectors.py

It prints what differs, and how many cases were compared.
"""

import json
import re
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
VECTORS = ROOT / "test/vectors"
sys.path.insert(0, str(HERE))

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey  # noqa: E402

from tidelog import batch, commit, ids, link, messages, noise, push, values  # noqa: E402
from tidelog.channel import sync_url  # noqa: E402
from tidelog.clock import Clock  # noqa: E402
from tidelog.errors import Fault  # noqa: E402
from tidelog.membership import Members, facts_of  # noqa: E402
from tidelog.merge import Dot, Past, State  # noqa: E402
from tidelog.replica import Replica  # noqa: E402
from tidelog.store import Store  # noqa: E402

compared, failures = 0, []


def load(name):
    return json.loads((VECTORS / f"{name}.json").read_text())


def data(value):
    """Hex, or a list of hex and [hex, how often]."""
    if type(value) is str:
        return bytes.fromhex(value)
    return b"".join(bytes.fromhex(v) if type(v) is str else bytes.fromhex(v[0]) * v[1] for v in value)


def plain(value):
    """A value from JSON, where bytes are {"$hex": …}."""
    if type(value) is dict:
        return bytes.fromhex(value["$hex"]) if set(value) == {"$hex"} else {k: plain(v) for k, v in value.items()}
    if type(value) is list:
        return [plain(v) for v in value]
    return int(value) if type(value) is float and value.is_integer() else value


def compare(what, got, expected):
    global compared
    compared += 1
    if got != expected:
        failures.append(f"{what}\n  got      {str(got)[:300]}\n  expected {str(expected)[:300]}")


def code(call, *args):
    """The code that it refuses with, or None."""
    try:
        call(*args)
        return None
    except Fault as fault:
        return fault.code
    except Exception as error:
        return f"{type(error).__name__}: {error}"


def identity():
    for each in load("device-ids")["ids"]:
        compare(f"ID: {each['name']}", ids.device_id(data(each["key"])), each["id"])
        for text in each["written"]:
            compare(f"ID: {each['name']}: {text}", ids.parse_device_id(text).hex(), each["key"])
    for each in load("device-ids_invalid")["refused"]:
        compare(f"ID: {each['name']}", code(ids.parse_device_id, each["text"]), each["code"])
    good, bad = load("chains-and-ids"), load("chains-and-ids_invalid")
    for each in good["spaces"]:
        compare(f"space: {each['name']}", ids.space_id(data(each["owner"]), data(each["salt"])).hex(), each["space"])
    for each in good["signatures"]:
        args = data(each["key"]), data(each["message"]), data(each["signature"])
        compare(f"signature: {each['name']}", ids.signature_acceptable(*args), True)
    for each in bad["keys"]:
        compare(f"key: {each['name']}", ids.key_acceptable(data(each["key"])), False)
    for each in bad["signatures"]:
        args = data(each["key"]), data(each["message"]), data(each["signature"])
        compare(f"signature: {each['name']}", ids.signature_acceptable(*args), False)
    for each in load("vectors-and-digests")["digests"]:
        heads = {data(h["chain"]): (h["seq"], data(h["id"])) for h in each["heads"]}
        compare(f"digest: {each['name']}", ids.digest(heads).hex(), each["digest"])


def commits():
    for each in load("bodies")["bodies"]:
        body = commit.parse_body(data(each["body"]), b"")
        got = body.stem.hex(), body.changes_hash.hex(), body.hash.hex()
        compare(f"body: {each['name']}", got, (each["stem"], each["changesHash"], each["bodyHash"]))
    for each in load("bodies")["large"]:
        compare(f"body: {each['name']}", commit.parse_body(data(each["body"]), b"").hash.hex(), each["bodyHash"])
    for name in ("bodies_invalid", "merge_invalid", "clock_invalid"):
        for each in load(name)["bodies"]:
            own = data(each["chain"]) if "chain" in each else b""
            compare(f"body: {each['name']}", code(commit.parse_body, data(each["body"]), own), each["code"])
    for each in load("bodies_invalid")["stems"]:
        compare(f"stem: {each['name']}", code(commit.parse_stem, data(each["stem"]), bytes(32), b""), each["code"])


def batches():
    for each in load("batches")["packed"]:
        got = batch.unpack(each["codec"], each["rawBytes"], data(each["data"]))
        compare(f"packed: {each['name']}", got, data(each["raw"]))
    for each in load("batches_invalid")["packed"]:
        got = code(batch.unpack, each["codec"], each["rawBytes"], data(each["data"]))
        compare(f"packed: {each['name']}", got, each["code"])
    for each in load("batches_invalid")["batches"]:
        compare(f"batch: {each['name']}", code(batch.decode_batch, bytes(32), data(each["raw"])), each["code"])
    for each in load("batches")["spans"] + load("batches_invalid")["spans"]:
        got = code(batch.decode_batch, bytes(32), data(each["raw"]), each["last"] - each["prev"])
        compare(f"span: {each['name']}", "bad-batch" if got == "bad-batch" else None, each.get("code"))
    for each in load("runs")["runs"]:
        if any(entry["kind"] == "gap" for entry in each["entries"]):
            continue  # this peer holds the whole space
        _, entries = batch.decode_batch(data(each["space"]), data(each["batch"]))
        got = [(e.seq, e.prev.hex(), e.id.hex(), e.body.hash.hex()) for e in entries]
        compare(f"run: {each['name']}", got, [(e["seq"], e["prev"], e["id"], e["bodyHash"]) for e in each["entries"]])
    for each in load("runs_invalid")["runs"]:
        got = code(batch.decode_batch, data(each["space"]), data(each["batch"]))
        compare(f"run: {each['name']}", got, each["code"])


def wire():
    for each in load("messages")["messages"]:
        raw = data(each["hex"])
        if (each["message"] or {}).get("version", 1) != 1:
            compare(f"message: {each['name']}", code(messages.decode_message, raw), "unsupported-version")
            continue
        decoded = messages.decode_message(raw)
        compare(f"message: {each['name']} is known", decoded is None, each["message"] is None)
        kind, fields = decoded or (None, None)
        if decoded and each.get("isShortest"):
            compare(f"message: {each['name']}", messages.encode_message(kind, *fields).hex(), each["hex"])
    for each in load("messages_invalid")["messages"]:
        compare(f"message: {each['name']}", code(messages.decode_message, data(each["hex"])), each["code"])
    for name, expected in (("cursors", None), ("cursors_invalid", "bad-message")):
        for each in load(name)["encodings"]:
            raw = bytes([0x96, 3, 1, 0xC4, 32]) + bytes(32) + data(each["encoded"]) + bytes.fromhex("c3ce00400000")
            compare(f"from: {each['name']}", code(messages.decode_message, raw), expected)
    for each in load("pairing")["links"]:
        compare(f"link: {each['name']}", link.parse_link(each["link"]).invite.hex(), each["invite"]["id"])
    for each in load("pairing_invalid")["links"]:
        compare(f"link: {each['name']}", code(link.parse_link, each["link"]), each["code"])


def in_order(chains, case, order):
    """(index, device, body-like, past) of the commits of a case, in one of its orders."""
    others = {name: {} for name in chains}
    for index in order:
        each = case["commits"][index]
        name = each["chain"]
        others[name] = dict(others[name])
        for dep, seq in each["deps"]:
            key = data(chains[dep]["chain"])
            others[name][key] = max(seq, others[name].get(key, 0))
        past = Past(others[name], data(chains[name]["chain"]), each["seq"])
        yield index, data(chains[name]["device"]), each, past


def channels():
    """Of the side that opens the connection, which is the only one that this peer can be."""
    vectors, bad = load("noise"), load("noise_invalid")

    def initiator(each, expected=None):
        one = each["initiator"]
        keys = [X25519PrivateKey.from_private_bytes(data(one[name])) for name in ("static", "ephemeral")]
        out = noise.Initiator(data(one["seed"]), expected, *keys)
        out.message_1()
        return out

    for each in vectors["transcripts"]:
        one = initiator(each)
        one.read(data(each["messages"][1]))
        compare(f"message 3: {each['name']}", one.message_3().hex(), each["messages"][2])
        compare(f"hash: {each['name']}", one.hash.hex(), each["handshakeHash"])
        compare(f"digits: {each['name']}", noise.digits(one.hash), each["digits"])
        frames = noise.Frames(one.send, one.receive)
        for frame in each["frames"]:
            if frame["from"] == "initiator":
                compare(f"sealed: {each['name']}", one.send.seal(data(frame["plain"])).hex(), frame["sealed"])
            else:
                got = frames.open(data(frame["sealed"]))
                compare(f"opened: {each['name']}", got, None if frame["message"] is None else data(frame["message"]))
    for each in bad["handshakes"]:
        if each["at"] == "initiator":
            expected = each["expectedDevice"] and data(each["expectedDevice"])
            one = initiator(vectors["transcripts"][0], expected)
            compare(f"handshake: {each['name']}", code(one.read, data(each["received"][-1])), each["code"])

    class Plain:
        open = staticmethod(lambda frame: frame)

    for each in vectors["frames"]:
        frames = noise.Frames(None, Plain)
        got = [frames.open(data(frame)) for frame in each["frames"]]
        compare(f"frames: {each['name']}", got[-1], data(each["message"]))
        compare(f"frames: {each['name']}, ends once", set(got[:-1]) <= {None}, True)
    for each in bad["frames"]:
        frames = noise.Frames(None, Plain)
        codes = [code(frames.open, data(frame)) for frame in each["frames"]]
        compare(f"frames: {each['name']}", codes, [None] * (len(codes) - 1) + [each["code"]])


def pairing():
    good = load("pairing")
    for each in good["proofs"]:
        got = link.proof(data(each["secret"]), data(each["handshakeHash"]), data(each["joiner"])).hex()
        compare(f"proof: {each['name']}", got, each["proof"])
    for each in good["digits"]:
        compare("digits", noise.digits(data(each["handshakeHash"])), each["digits"])
    for each in good["syncUrls"]:
        compare("URL", sync_url(each["base"]), each["url"])


def clocks():
    def run(each):
        clock = Clock(each["last"])
        for step in each["steps"]:
            clock.tick(step["now"]) if step["do"] == "tick" else clock.observe(step["time"], step["now"])
            yield clock.last

    for each in load("clock")["clocks"]:
        compare(f"clock: {each['name']}", list(run(each)), [step["last"] for step in each["steps"]])
    for each in load("clock_invalid")["mistakes"]:
        compare(f"clock: {each['name']}", list(run(each)) != [step["last"] for step in each["steps"]], True)


def openings():
    class Log:
        chains = {}

    for name in ("cursors", "cursors_invalid"):
        for each in load(name)["opens"]:
            log = Log()
            log.epoch, log.head = data(each["log"]["epoch"]), each["log"]["head"]
            if each["log"]["floor"] == 0:  # this peer's log is never shortened
                got = push.begin(log, values.decode(data(each["encoded"]), 8))[0]
                compare(f"opens: {each['name']}", got, each["code"] if "code" in each else each["begins"] - 1)


def merging():
    vectors = load("merge")
    for case in vectors["cases"]:
        for order in case["orders"]:
            state = State()
            for _, device, each, past in in_order(vectors["chains"], case, order):
                state.apply(plain(each["changes"]), Dot(past.chain, past.seq, each["time"], device), past)
            got = {subject: state.get(subject) for subject in state.list()}
            compare(f"merge: {case['name']} {order}", values.canonical(got), values.canonical(plain(case["state"])))
            conflicts = {}
            for subject in state.list():
                for name, rest in state.conflicts(subject).items():
                    conflicts.setdefault(subject, {})[name] = [got[subject][name], *rest]
            compare(f"conflicts: {case['name']} {order}", conflicts, plain(case["conflicts"]))


def members():
    vectors = load("membership")
    chains, founder = vectors["chains"], data(vectors["founder"])
    for case in vectors["cases"]:
        for order in case["orders"]:
            commits, facts = [], []
            for index, device, each, past in in_order(chains, case, order):
                changes = plain(each["changes"]) if each.get("changes") else []
                facts += facts_of(changes, device, past.chain, past.seq, each["time"], past)
                commits.append((index, device, bool(changes) and changes[0][0].startswith("~"), past))
            judge = Members(founder, facts)
            got = {index: judge.verdict(device, past, reserved) for index, device, reserved, past in commits}
            compare(f"verdicts: {case['name']} {order}", [got[i] for i in sorted(got)], case["verdicts"])
            roles = {name: judge.role_now(data(chains[name]["device"])) for name in case["roles"]}
            compare(f"roles: {case['name']} {order}", roles, case["roles"])
    for each in vectors["logs"]:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(folder)
            store.put(epoch=bytes(8))
            replica = Replica(store, data(each["space"]))
            for one in each["batches"]:
                replica.take(data(one))
            compare(f"log: {each['name']}", replica.digest().hex(), each["digest"])
            kept = {(row[1], row[2]): row[5] is not None for row in store.read()}
            for entry in each["entries"]:
                if entry["verdict"] == "counts":
                    compare(f"log: {each['name']}, kept", kept[data(entry["chain"]), entry["seq"]], True)
            compare(f"log: {each['name']}, all", len(kept), len(each["entries"]))
            replica = Replica(store, data(each["space"]))
            compare(f"log: {each['name']}, read again", replica.digest().hex(), each["digest"])
            store.close()
    for each in load("membership_invalid")["logs"]:
        compare(f"log: {each['name']}", refused(each), each["code"])


def refused(each):
    """What a log that holds some batches says to another."""
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        try:
            store.put(epoch=bytes(8))
            replica = Replica(store, data(each["space"]))
            for held in each["holds"]:
                replica.take(data(held))
            return code(replica.take, data(each["batch"]))
        finally:
            store.close()


def example(name):
    """One of the worked examples of the page, as {label: value}."""
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


def examples():
    one = example("device ID")
    key = ids.public_key(data(one["seed"]))
    compare("example: public key", key.hex(), one["public key"])
    compare("example: device ID", ids.device_id(key), one["device ID"])
    compare("example: device ID read", ids.parse_device_id(one["device ID"].lower().replace("O", "0")), key)
    one_space = example("space")
    space = ids.space_id(data(one_space["owner key"]), data(one_space["salt"]))
    compare("example: space id", space.hex(), one_space["space id"])
    prev, nonce = commit.ZEROS, data(example("commit 1")["nonce"])
    for seq in (1, 2):
        given = example(f"commit {seq}")
        body = commit.parse_body(data(given["body"]), b"")
        header = commit.header(space, key, nonce, seq, prev, body.hash)
        signature = commit.sign_commit(data(one["seed"]), header)
        prev = commit.commit_id(header, signature)
        compare(f"example: commit {seq}, body hash", body.hash.hex(), given["body hash"])
        compare(f"example: commit {seq}, header", header.hex(), given["header"])
        compare(f"example: commit {seq}, signature", signature.hex(), given["signature"])
        compare(f"example: commit {seq}, id", prev.hex(), given["commit id"])
    given = example("batch")
    _, entries = batch.decode_batch(space, data(given["batch data"]))
    compare("example: batch read", entries[-1].id, prev)
    rows = [(e.device, e.nonce, e.seq, e.prev, e.body.data, None, None, e.signature) for e in entries]
    compare("example: batch written", batch.encode_batch(rows).hex(), given["batch data"])
    given = example("digest")
    compare("example: digest of nothing", ids.digest({}).hex(), given["of no chain"])
    compare("example: digest", ids.digest({entries[-1].chain: (2, prev)}).hex(), given["of the chain at seq 2"])
    given = example("handshake")
    private = {n: X25519PrivateKey.from_private_bytes(data(given[f"initiator {n}"])) for n in ("static", "ephemeral")}
    channel = noise.Initiator(data(given["initiator seed"]), None, private["static"], private["ephemeral"])
    compare("example: handshake, message 1", channel.message_1().hex(), given["message 1"])
    channel.read(data(given["message 2"]))
    compare("example: handshake, message 3", channel.message_3().hex(), given["message 3"])
    compare("example: handshake hash", channel.hash.hex(), given["handshake hash"])
    compare("example: digits", noise.digits(channel.hash), given["digits"])
    frame = noise.Frames(channel.send, channel.receive).seal(data(given["HEARTBEAT, encoded"]))[0]
    compare("example: first frame", frame.hex(), given["first frame, sealed"])
    proof = example("pairing")
    parsed = link.parse_link(proof["link"])
    compare("example: link", (parsed.invite.hex(), parsed.secret.hex()), (proof["invite id"], proof["secret"]))
    compare("example: proof", link.proof(parsed.secret, channel.hash, data(proof["joiner key"])).hex(), proof["proof"])
    for name in ("HELLO", "HEARTBEAT", "SUBSCRIBE_ALL", "SUBSCRIBE", "BATCH", "CAUGHT_UP", "ACK", "UNSUBSCRIBE",
                 "UNSUBSCRIBED", "PAIR", "PAIRED", "REFUSED", "ERROR"):  # fmt: skip
        kind, fields = messages.decode_message(data(example(name)["bytes"]))
        compare(f"example: {name}", messages.encode_message(kind, *fields).hex(), example(name)["bytes"])


def exchange():
    """Section 19: this peer in the phone's place comes to the same bytes."""
    page = (ROOT / "docs/PROTOCOL.md").read_text()

    def block(name):
        return re.search(rf"<!-- exchange: {re.escape(name)} -->\s+```text\n(.*?)```", page, re.S).group(1)

    def bytes_in(lines):
        """What stands on the right, from the 39th column on."""
        return bytes.fromhex("".join(line[38:].replace(" ", "") for line in lines))

    def sealed(name):
        return bytes_in(block(name).split("\n\n")[1].splitlines())

    keys = {line[:38].strip(): line[38:] for line in block("keys").splitlines()}
    static, ephemeral = (
        X25519PrivateKey.from_private_bytes(data(keys[f"phone {name} secret"])) for name in ("static", "ephemeral")
    )
    seed, laptop = data(keys["phone seed"]), data(keys["laptop device key"])
    channel = noise.Initiator(seed, laptop, static, ephemeral)
    compare("exchange: message 1", channel.message_1(), bytes_in(block("message 1").splitlines()[:1]))
    channel.read(bytes_in(block("message 2").split("\n\n")[0].splitlines()))
    compare("exchange: message 3", channel.message_3(), bytes_in(block("message 3").splitlines()))
    frames = noise.Frames(channel.send, channel.receive)

    def says(name, kind, *fields):
        compare(f"exchange: {name}", frames.seal(messages.encode_message(kind, *fields)), [sealed(name)])

    def hears(name):
        return messages.decode_message(frames.open(sealed(name)))[1]

    says("1 HELLO", messages.HELLO, 1, "phone", "example/1", [], messages.LIMITS, [], 1767225600000003)
    space, epoch, *_ = hears("2 HELLO")[5][0]
    says("3 SUBSCRIBE_ALL", messages.SUBSCRIBE_ALL, 1, space, 0, False, messages.CREDIT_MIN)
    with tempfile.TemporaryDirectory() as folder:
        store = Store(folder)
        store.put(epoch=bytes(8))
        replica = Replica(store, space)
        for heard, said in (("4 BATCH", "5 ACK"), ("6 BATCH", "7 ACK")):
            number, prev, last, codec, raw_bytes, raw = hears(heard)
            replica.take(batch.unpack(codec, raw_bytes, raw), (laptop, epoch, last), last - prev)
            says(said, messages.ACK, number, last, len(raw))
        compare("exchange: digest", hears("8 CAUGHT_UP"), [1, 3, replica.digest()])
        compare("exchange: the end", hears("9 UNSUBSCRIBED"), [1, None])
        compare("exchange: the phone's role", replica.role_of(ids.public_key(seed)), "reader")
        compare("exchange: the note", replica.state.get("note/1"), {"title": "Milk", "done": False})
        store.close()


def main():
    parts = examples, exchange, identity, commits, batches, wire, channels, pairing, clocks, openings, merging, members
    for part in parts:
        try:
            part()
        except Exception as error:  # a vector of a form that this doesn't know
            failures.append(f"{part.__name__}: {type(error).__name__}: {error}")
    for failure in failures:
        print(f"FAILED {failure}")
    print(f"{compared - len(failures)} passed" + (f", {len(failures)} failed" if failures else ""))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
