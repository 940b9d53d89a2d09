"""Commits: their bodies, headers and ids (sections 4 and 7.2)."""

import msgpack

from .errors import Fault
from .ids import device_id, key_acceptable, parse_device_id, sha256, sign
from .values import INTEGER_MAX, BadValue, decode, encode, is_count, is_name, is_property, is_subject

BODY_BYTES_MAX = 1_048_576
ROLES = ("owner", "writer", "reader", "mirror")
DEVICES = "~devices/"
ZEROS = bytes(32)


class Body:
    """What an author wrote: `[time, deps, changes]`. Of an erased commit only the stem is there; changes is None."""

    __slots__ = ("time", "deps", "changes", "stem", "changes_hash", "data")

    @property
    def reserved(self):
        """Whether it changes `~`."""
        return bool(self.changes) and self.changes[0][0].startswith("~")

    @property
    def hash(self):
        return sha256(self.stem, self.changes_hash)


def _bad(why):
    raise Fault("bad-commit", why)


def parse_body(data, own_chain):
    if len(data) > BODY_BYTES_MAX:
        raise Fault("commit-too-large")
    if data[:1] != b"\x93":
        _bad("an unknown kind of body")
    try:
        value = decode(data, 32)
    except BadValue as error:
        _bad(str(error))
    # The stem ends where the third element begins; the array's header is one byte.
    reader = msgpack.Unpacker(max_buffer_size=len(data), strict_map_key=False)
    reader.feed(data)
    reader.read_array_header()
    reader.skip()
    reader.skip()
    end = reader.tell()
    body = Body()
    body.time, body.deps, body.changes = value[0], _deps(value[0], value[1], own_chain), value[2]
    body.stem, body.changes_hash, body.data = data[:end], sha256(data[end:]), data
    _check_changes(body.changes)
    return body


def parse_stem(stem, changes_hash, own_chain):
    """Of an erased commit. A null in place of the changes makes a stem a body that can be read."""
    if len(stem) > BODY_BYTES_MAX:
        raise Fault("commit-too-large")
    if stem[:1] != b"\x93":
        _bad("an unknown kind of body")
    try:
        value = decode(stem + b"\xc0", 32)
    except BadValue as error:
        _bad(str(error))
    body = Body()
    body.time, body.deps, body.changes = value[0], _deps(value[0], value[1], own_chain), None
    body.stem, body.changes_hash, body.data = stem, changes_hash, None
    return body


def _deps(time, deps, own_chain):
    if not is_count(time):
        _bad("time")
    if type(deps) is not list:
        _bad("deps")
    out = {}
    for each in deps:
        if type(each) is not list or len(each) not in (2, 3):
            _bad("deps")
        # Past a fork the commit is named by its id too. This peer settles no forks, so it only looks at the form.
        chain, seq, id = each if len(each) == 3 else (*each, None)
        if len(each) == 3 and (type(id) is not bytes or len(id) != 32):
            _bad("deps")
        if type(chain) is not bytes or len(chain) != 16 or not is_count(seq) or seq < 1:
            _bad("deps")
        if chain in out or chain == own_chain:
            _bad("deps")
        out[chain] = seq
    return out


def _check_changes(changes):
    if type(changes) is not list or not changes:
        _bad("changes")
    subjects = set()
    for change in changes:
        if type(change) is not list or len(change) != 2:
            _bad("a change")
        subject, ops = change
        if not is_subject(subject) or subject in subjects:
            _bad("a subject")
        subjects.add(subject)
        if type(ops) is not dict or not ops:
            _bad("ops")
        _check_ops(ops)
        if subject.startswith(DEVICES):
            _check_member(subject, ops.get("set", {}))
    if len({subject.startswith("~") for subject in subjects}) == 2:
        _bad("changes ~ and more")


def _check_ops(ops):
    alone, shared = [], set()
    for op, operand in ops.items():
        if op == "destroy":
            if operand is not True:
                _bad("destroy")
        elif op in ("set", "inc", "add", "remove"):
            if type(operand) is not dict or not operand or not all(map(is_property, operand)):
                _bad(op)
            if op == "inc" and not all(type(n) is int and abs(n) <= INTEGER_MAX for n in operand.values()):
                _bad(op)
            if op in ("add", "remove"):
                if not all(type(values) is list and values for values in operand.values()):
                    _bad(op)
                shared.update(operand)
            else:
                alone += operand
        elif op == "unset":
            if type(operand) is not list or not operand or not all(map(is_property, operand)):
                _bad(op)
            alone += operand
        else:
            _bad("an unknown op")
    if len(set(alone)) < len(alone) or shared & set(alone):
        _bad("a property in two ops")


def _check_member(subject, values):
    """The rules of section 7.2."""
    text = subject[len(DEVICES) :]
    try:
        key = parse_device_id(text)
    except Fault:
        _bad("no device ID")
    if device_id(key) != text or not key_acceptable(key):
        _bad("no device ID")
    if "role" in values and values["role"] not in ROLES:
        _bad("an unknown role")
    if "revoked" in values:
        cut = values["revoked"]
        hexadecimal = set("0123456789abcdef")
        if type(cut) is not dict or not all(
            len(chain) == 32 and set(chain) <= hexadecimal and is_count(seq) for chain, seq in cut.items()
        ):
            _bad("revoked")


def founding(body):
    """The owner and salt of a founding commit, or bad-space (section 7.1)."""
    if body.changes is not None and not body.deps:
        for subject, ops in body.changes:
            values = ops.get("set", {})
            owner, salt, name = values.get("owner"), values.get("salt"), values.get("name")
            if subject == "~space" and type(owner) is bytes and len(owner) == 32:
                if type(salt) is bytes and len(salt) == 16 and is_name(name):
                    return owner, salt, name
    raise Fault("bad-space")


def header(space, device, nonce, seq, prev, body_hash):
    return space + device + nonce + seq.to_bytes(8, "big") + prev + body_hash


def commit_id(header_bytes, signature):
    return sha256(b"tidelog/1 id", header_bytes, signature)


def sign_commit(seed, header_bytes):
    return sign(seed, b"tidelog/1 commit" + header_bytes)


def encode_body(time, deps, changes):
    """`deps` as {chain: seq}, `changes` as [[subject, ops], …]."""
    return encode([time, [[chain, seq] for chain, seq in deps.items()], changes])
