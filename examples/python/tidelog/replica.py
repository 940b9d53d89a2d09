"""A whole copy of one space: takes batches in, judges and merges them (sections 4.4, 5, 7.4), and writes commits."""

import os

from . import ids
from .batch import ENTRIES_MAX, Entry, decode_batch
from .clock import Clock, now_us
from .commit import ZEROS, commit_id, encode_body, founding, header, parse_body, parse_stem, sign_commit
from .errors import Fault
from .membership import COUNTS, UNAUTHORIZED, Members, facts_of
from .merge import Dot, Past, State

NOTHING = {}


class Chain:
    """Its head, and what its author had seen of others there. It is replaced, never altered."""

    __slots__ = ("device", "nonce", "seq", "id", "others")

    def __init__(self, device, nonce, seq=0, id=ZEROS, others=NOTHING):
        self.device, self.nonce, self.seq, self.id, self.others = device, nonce, seq, id, others


class Replica:
    def __init__(self, store, space, warn=lambda text: None):
        self.store, self.space, self.warn = store, space, warn
        self.device = ids.public_key(store.seed)
        self.epoch = store.get("epoch")
        self.clock = Clock(store.get("clock") or 0)
        self.on_growth = []  # called after the log grew
        self._replay()

    # Reading

    def vector(self):
        """{chain: (seq, id)}: all that is here."""
        return {chain: (c.seq, c.id) for chain, c in self.chains.items()}

    def wanted_vector(self):
        """The vector to subscribe from: of a chain with a hole only what is before it, so that others fill it."""
        vector = self.vector()
        for chain, seq in self.holes:
            if seq == 1:
                vector.pop(chain, None)
            elif chain in vector and vector[chain][0] >= seq:
                vector[chain] = seq - 1, self.store.id_at(chain, seq - 1)
        return vector

    def digest(self):
        return ids.digest(self.vector())

    def role_of(self, device):
        return self.members.role_now(device) if self.members else None

    def is_revoked(self, device):
        return self.members is not None and self.members.revoked(device)

    # The state is a function of the log: made from it at the start, after a revocation, and when a hole is filled.

    def _replay(self):
        self.chains = {}
        self.head = 0
        facts, entries, founder = [], [], None
        for row in self.store.read():
            self.head, chain, seq, _, id, data, stem, changes_hash, _, device, nonce = row
            body = parse_body(data, chain) if data is not None else parse_stem(stem, changes_hash, chain)
            past = _step(self.chains, chain, device, nonce, seq, id, body)
            facts += facts_of(body.changes, device, chain, seq, body.time, past)
            founder = founder or device
            entries.append((device, past, body))
        self.members = Members(founder, facts) if founder else None
        self.state, self.holes = State(), set()
        with self.store:
            for device, past, body in entries:
                self._settle(device, past, body, self.members.verdict(device, past, body.reserved))

    def _settle(self, device, past, body, verdict):
        """What a commit does: it is applied if it counts, and erased if it is void (section 7.4)."""
        if verdict == UNAUTHORIZED:
            raise Fault("unauthorized")
        if verdict == COUNTS and body.changes is not None:
            self.state.apply(body.changes, Dot(past.chain, past.seq, body.time, device), past)
        elif verdict == COUNTS:
            self.holes.add((past.chain, past.seq))  # somebody withheld its changes (section 5)
        elif body.data is not None and not body.reserved and self.store.writes:
            self.store.erase(past.chain, past.seq)

    # Taking in (section 5)

    def take(self, raw, cursor=None, span=ENTRIES_MAX):
        """
        Takes a batch in, whole or not at all, with the cursor (device, epoch, position) in the same transaction.
        When it returns, all of it is on the disk. Returns how many entries the batch had, and the last `seq` of each
        of its chains.
        """
        listed, entries = decode_batch(self.space, raw, span)
        try:
            return self._take(listed, entries, cursor)
        except Fault:
            # What couldn't have been taken in the place of a hole leaves it one, and is no fault of the sender (section 5).
            return self._take(listed, entries, cursor, with_fills=False)

    def _take(self, listed, entries, cursor, with_fills=True):
        chains, fresh, fills = self._link(listed, entries)
        fills = fills if with_fills else []
        members = self._judges(fresh)
        verdicts = [members.verdict(e.device, past, e.body.reserved) for e, past in fresh]
        if UNAUTHORIZED in verdicts:
            raise Fault("unauthorized")
        # Where a revocation came, older commits are judged again; only then, since what a commit's author had seen
        # is here before it.
        anew = fills or (self.members and members.cuts != self.members.cuts)
        before = len(self.holes)
        try:
            with self.store:
                for position, ((entry, past), verdict) in enumerate(zip(fresh, verdicts), self.head + 1):
                    self.store.append(position, entry, keep_body=verdict == COUNTS or entry.body.reserved)
                    if not anew:
                        self._settle(entry.device, past, entry.body, verdict)
                for entry in fills:
                    self.store.fill(entry.chain, entry.seq, entry.body.data)
                if cursor:
                    self.store.set_cursor(*cursor)
                self._observe(fresh)
                if anew:
                    self._replay()
        except Exception:
            self._replay()  # the store is as before, and so must the state be
            raise
        if not anew:
            self.chains, self.members, self.head = chains, members, self.head + len(fresh)
        if len(self.holes) > before:
            self.warn(f"the contents of {len(self.holes)} commits were withheld")
        if fresh or fills:
            self._grew()
        return len(entries), {entry.chain: entry.seq for entry in entries}

    def _link(self, listed, entries):
        """What of a batch is new, and fits to what is here: (chains after it, [(entry, past)], holes that it fills)."""
        for chain, _, _, seq, before in listed:
            if seq > (self.chains[chain].seq if chain in self.chains else 0):
                raise Fault("unlinked")
            if seq and self.store.id_at(chain, seq) != before:
                raise Fault("fork")
        chains, fresh, fills = dict(self.chains), [], []
        for entry in entries:
            mine = chains.get(entry.chain)
            if mine and entry.seq <= mine.seq:  # it is here already
                if entry.seq > 1 and entry.prev != self.store.id_at(entry.chain, entry.seq - 1):
                    raise Fault("fork")
                if entry.seq == mine.seq and entry.id != mine.id:
                    raise Fault("fork")
                if (entry.chain, entry.seq) in self.holes and entry.body.data is not None:
                    if entry.id == self.store.id_at(entry.chain, entry.seq):
                        fills.append(entry)
                continue
            if mine and entry.prev != mine.id:
                raise Fault("fork")
            if not chains:
                self._check_founding(entry)
            for other, seq in entry.body.deps.items():
                if other not in chains or chains[other].seq < seq:
                    raise Fault("causal-gap")
            fresh.append((entry, _step_over(chains, entry)))
        return chains, fresh, fills

    def _check_founding(self, entry):
        owner, salt, _ = founding(entry.body)
        if entry.seq != 1 or owner != entry.device or ids.space_id(owner, salt) != self.space:
            raise Fault("bad-space")

    def _judges(self, fresh):
        """The judge that knows also the facts of these new commits."""
        facts = []
        for entry, past in fresh:
            facts += facts_of(entry.body.changes, entry.device, entry.chain, entry.seq, entry.body.time, past)
        if self.members is None:
            return Members(fresh[0][0].device, facts) if fresh else None
        return Members(self.members.founder, self.members.facts + facts) if facts else self.members

    def _observe(self, fresh):
        now = now_us()
        own = self._own_chain()
        for entry, _ in fresh:
            if not self.clock.observe(entry.body.time, now):
                self.warn(f"a commit of {ids.device_id(entry.device)[:7]} is more than a day ahead of this clock")
            if entry.chain == own:
                self.begin_chain()  # others have more of our chain than we had (section 4.2)
        if fresh:
            self.store.put(clock=self.clock.last)

    def _grew(self):
        for call in list(self.on_growth):
            call()

    # Writing (sections 4.2 and 4.4)

    def begin_chain(self):
        """With a new nonce; asked for where our log may have gone back."""
        self.store.put(nonce=os.urandom(8))

    def heed_vector(self, vector):
        """A peer's vector may prove that others have more of our chain than we have."""
        own = self._own_chain()
        head = self.chains[own].seq if own in self.chains else 0
        if any(chain == own and seq > head for chain, seq, *_ in vector):
            self.begin_chain()

    def _own_chain(self):
        nonce = self.store.get("nonce")
        return ids.chain_id(self.space, self.device, nonce) if nonce else None

    def commit(self, changes):
        """Signs a commit of this device. When it returns, it is on the disk. `changes` is [[subject, ops], …]."""
        role = self.role_of(self.device)
        reserved = changes[0][0].startswith("~")
        if role is None:
            raise Fault("not-a-member", "sync once with the device that invited this one")
        if role not in ("owner", "writer"):
            raise Fault("read-only")
        if reserved and role != "owner":
            raise Fault("not-an-owner")
        if self._own_chain() is None:
            self.begin_chain()
        entry = self._sign(changes)
        try:
            with self.store:
                self.store.append(self.head + 1, entry, keep_body=True)
                self.store.put(clock=self.clock.last)
                if reserved:
                    self._replay()
        except Exception:
            self._replay()
            raise
        if not reserved:
            self.head += 1
            self._settle(self.device, _step_over(self.chains, entry), entry.body, COUNTS)
        self._grew()
        return entry

    def _sign(self, changes):
        entry = Entry()
        entry.device, entry.nonce, entry.chain = self.device, self.store.get("nonce"), self._own_chain()
        head = self.chains.get(entry.chain) or Chain(entry.device, entry.nonce)
        entry.seq, entry.prev = head.seq + 1, head.id
        # To be named is what advanced since our last commit: what our past doesn't cover yet.
        others = {chain: other.seq for chain, other in self.chains.items() if chain != entry.chain}
        deps = {chain: seq for chain, seq in others.items() if seq > head.others.get(chain, 0)}
        body = encode_body(self.clock.tick(now_us()), deps, changes)
        entry.body = parse_body(body, entry.chain)
        entry.header = header(self.space, entry.device, entry.nonce, entry.seq, entry.prev, entry.body.hash)
        entry.signature = sign_commit(self.store.seed, entry.header)
        entry.id = commit_id(entry.header, entry.signature)
        return entry


def _step_over(chains, entry):
    return _step(chains, entry.chain, entry.device, entry.nonce, entry.seq, entry.id, entry.body)


def _step(chains, chain, device, nonce, seq, id, body):
    """Moves a chain's head over a commit, and gives the commit's past."""
    others = chains[chain].others if chain in chains else NOTHING
    if any(dep > others.get(other, 0) for other, dep in body.deps.items()):
        others = dict(others)
        for other, dep in body.deps.items():
            others[other] = max(dep, others.get(other, 0))
    chains[chain] = Chain(device, nonce, seq, id, others)
    return Past(others, chain, seq)
