"""A whole copy of one space: takes batches in, judges and merges them, and writes commits of its own."""

import os
import time

from . import ids
from .batch import Entry, decode_batch
from .commit import ZEROS, commit_id, encode_body, founding, header, parse_body, parse_stem, sign_commit
from .errors import Fault
from .membership import COUNTS, UNAUTHORIZED, Members, facts_of
from .merge import Dot, Past, State

AHEAD_MAX_US = 86_400_000_000
NOTHING = {}


def now_us():
    return time.time_ns() // 1000


class Chain:
    """Its head, and what its author had seen of others there. It is replaced, never altered."""

    __slots__ = ("device", "nonce", "seq", "id", "others")

    def __init__(self, device, nonce, seq=0, id=ZEROS, others=NOTHING):
        self.device, self.nonce, self.seq, self.id, self.others = device, nonce, seq, id, others


class Replica:
    def __init__(self, store, space, warn=lambda text: None):
        self.store, self.space, self.warn = store, space, warn
        self.seed = store.seed
        self.device = ids.public_key(self.seed)
        self.on_growth = []  # called after the log grew
        self.last_time = 0
        self._replay()

    # Reading

    @property
    def epoch(self):
        return self.store.get("epoch")

    @property
    def founder(self):
        return self.members.founder if self.members else None

    def vector(self):
        """{chain: (seq, id)}: all that is here."""
        return {chain: (c.seq, c.id) for chain, c in self.chains.items() if c.seq}

    def wanted_vector(self):
        """The vector to subscribe from: of a chain with a hole only what is before it, so that others fill it."""
        vector = self.vector()
        for chain, seq in self.holes:
            if chain in vector and vector[chain][0] >= seq:
                if seq == 1:
                    del vector[chain]
                else:
                    vector[chain] = seq - 1, self.store.id_at(chain, seq - 1)
        return vector

    def digest(self):
        return ids.digest(self.vector())

    def role_of(self, device):
        return self.members.role_now(device) if self.members else None

    # The state is a function of the log, and is made from it at the start, and again after a revocation.

    def _replay(self):
        self.chains = {chain: Chain(device, nonce) for chain, device, nonce in self.store.chains()}
        self.holes = set()
        self.head = 0
        facts, entries, founder = [], [], None
        for row in self.store.read():
            position, chain, seq, _, id, data, stem, changes_hash, _, device, _ = row
            body = parse_body(data, chain) if data is not None else parse_stem(stem, changes_hash, chain)
            past = self._step(self.chains, chain, seq, id, body)
            facts += facts_of(body.changes, device, chain, seq, body.time, past)
            founder = founder or device
            entries.append((device, past, body))
            self.head = position
            self._clock(body.time)
        self.members = Members(founder, facts) if founder else None
        self.state = State()
        for device, past, body in entries:
            self._settle(device, past, body)

    @staticmethod
    def _step(chains, chain, seq, id, body):
        """Moves a chain's head over a commit, and gives the commit's past."""
        old = chains[chain]
        others = old.others
        if any(seq > others.get(other, 0) for other, seq in body.deps.items()):
            others = dict(others)
            for other, dep in body.deps.items():
                others[other] = max(dep, others.get(other, 0))
        chains[chain] = Chain(old.device, old.nonce, seq, id, others)
        return Past(others, chain, seq)

    def _settle(self, device, past, body):
        """Applies what counts, drops what is void, and notes holes."""
        if self.members.verdict(device, past, body.reserved) == COUNTS:
            if body.changes is None:
                self.holes.add((past.chain, past.seq))
            else:
                self.state.apply(body.changes, Dot(past.chain, past.seq, body.time, device), past)
        elif body.data is not None and not body.reserved:
            with self.store:
                self.store.erase(past.chain, past.seq)

    def _clock(self, time):
        if time <= now_us() + AHEAD_MAX_US:
            self.last_time = max(self.last_time, time)

    # Taking in (section 5). A batch is taken whole or not at all.

    def take(self, raw, cursor=None):
        """
        Verifies a batch and stores what is new of it, with the cursor (device, epoch, position), in one
        transaction. When it returns, all of it is on the disk. Returns how many entries the batch had, and the
        last `seq` of each of its chains.
        """
        listed, entries = decode_batch(self.space, raw)
        for chain, _, _, seq, before in listed:
            head = self.chains[chain].seq if chain in self.chains else 0
            if seq > head:
                raise Fault("unlinked")
            if seq and self.store.id_at(chain, seq) != before:
                raise Fault("fork")

        chains, facts, fresh, fills = dict(self.chains), [], [], []
        founder = self.founder
        for entry in entries:
            mine = chains.get(entry.chain)
            if mine is None:
                mine = chains[entry.chain] = Chain(entry.device, entry.nonce)
            if entry.seq <= mine.seq:
                if entry.seq == mine.seq and entry.id != mine.id:
                    raise Fault("fork")
                if entry.seq > 1 and entry.prev != self._id(fresh, entry.chain, entry.seq - 1):
                    raise Fault("fork")
                if (entry.chain, entry.seq) in self.holes and entry.body.data is not None:
                    if entry.id == self.store.id_at(entry.chain, entry.seq):
                        fills.append(entry)
                continue
            if entry.prev != mine.id:
                raise Fault("fork")
            if founder is None:
                founder = self._founded(entry)
            for other, seq in entry.body.deps.items():
                if other not in chains or chains[other].seq < seq:
                    raise Fault("causal-gap")
            past = self._step(chains, entry.chain, entry.seq, entry.id, entry.body)
            facts += facts_of(entry.body.changes, entry.device, entry.chain, entry.seq, entry.body.time, past)
            fresh.append((entry, past))

        members = Members(founder, self.members.facts + facts if self.members else facts) if facts else self.members
        verdicts = [members.verdict(e.device, past, e.body.reserved) for e, past in fresh]
        if UNAUTHORIZED in verdicts:
            raise Fault("unauthorized")

        with self.store:
            for position, ((entry, _), verdict) in enumerate(zip(fresh, verdicts), self.head + 1):
                self.store.append(position, entry, keep_body=verdict == COUNTS or entry.body.reserved)
            for entry in fills:
                self.store.fill(entry.chain, entry.seq, entry.body.data)
            if cursor:
                self.store.set_cursor(*cursor)

        judged_anew = self.members is not None and members.cuts != self.members.cuts
        self.chains, self.members, self.head = chains, members, self.head + len(fresh)
        if judged_anew or fills:
            self._replay()
        for entry, past in fresh:
            if not (judged_anew or fills):
                self._settle(entry.device, past, entry.body)
            if entry.body.time > now_us() + AHEAD_MAX_US:
                self.warn(f"a commit of {ids.device_id(entry.device)[:7]} is more than a day ahead")
            self._clock(entry.body.time)
            if entry.device == self.device:
                self.begin_chain()  # others have more of our chain than we had (section 4.2)
        if self.holes:
            self.warn(f"the contents of {len(self.holes)} commits were withheld")
        if fresh:
            self._grew()
        return len(entries), {entry.chain: entry.seq for entry in entries}

    def _id(self, fresh, chain, seq):
        found = self.store.id_at(chain, seq)
        return found or next((e.id for e, _ in fresh if e.chain == chain and e.seq == seq), None)

    def _founded(self, entry):
        owner, salt, _ = founding(entry.body)
        if entry.seq != 1 or owner != entry.device or ids.space_id(owner, salt) != self.space:
            raise Fault("bad-space")
        return owner

    def _grew(self):
        for call in list(self.on_growth):
            call()

    # Writing

    def begin_chain(self):
        """With a new nonce, where our log may have gone back."""
        self.store.put(nonce=os.urandom(8))

    def heed_vector(self, vector):
        """A peer's vector may prove that it has more of our chain than we have."""
        own = self._own_chain()
        if any(chain == own and seq > (self.chains[own].seq if own in self.chains else 0) for chain, seq, _ in vector):
            self.begin_chain()

    def _own_chain(self):
        nonce = self.store.get("nonce")
        return ids.chain_id(self.space, self.device, nonce) if nonce else None

    def commit(self, changes):
        """Signs and stores a commit of this device. `changes` is [[subject, ops], …]."""
        role = self.role_of(self.device)
        if role is None:
            raise Fault("not-a-member")
        reserved = changes[0][0].startswith("~")
        if role not in ("owner", "writer"):
            raise Fault("read-only")
        if reserved and role != "owner":
            raise Fault("not-an-owner")
        if self.store.get("nonce") is None:
            self.begin_chain()
        nonce, chain = self.store.get("nonce"), self._own_chain()
        chains = dict(self.chains)
        mine = chains.setdefault(chain, Chain(self.device, nonce))
        # What advanced since our last commit is what our past doesn't cover yet.
        deps = {c: o.seq for c, o in self.chains.items() if c != chain and o.seq > mine.others.get(c, 0)}
        time = max(now_us(), self.last_time + 1)
        entry = Entry()
        entry.chain, entry.device, entry.nonce, entry.seq, entry.prev = chain, self.device, nonce, mine.seq + 1, mine.id
        entry.body = parse_body(encode_body(time, deps, changes), chain)
        entry.header = header(self.space, self.device, nonce, entry.seq, entry.prev, entry.body.hash)
        entry.signature = sign_commit(self.seed, entry.header)
        entry.id = commit_id(entry.header, entry.signature)
        with self.store:
            self.store.append(self.head + 1, entry, keep_body=True)
        self.head += 1
        self.last_time = time
        past = self._step(chains, chain, entry.seq, entry.id, entry.body)
        self.chains = chains
        if entry.body.reserved:
            self._replay()
        else:
            self._settle(self.device, past, entry.body)
        self._grew()
        return entry
