"""Who may write (section 7): facts, roles, cuts and verdicts."""

from .commit import DEVICES
from .ids import parse_device_id

COUNTS, VOID, UNAUTHORIZED = "counts", "void", "unauthorized"


class Fact:
    """That a commit gives a device a role, or revokes it."""

    __slots__ = ("kind", "device", "value", "author", "chain", "seq", "time", "order", "past")

    @property
    def commit(self):
        return self.chain, self.seq

    @property
    def rank(self):
        return self.time, self.author, self.chain, self.seq

    def had_seen(self, other):
        return self.past.covers(other.chain, other.seq)


def facts_of(changes, author, chain, seq, time, past):
    out = []
    for order, (subject, ops) in enumerate(changes or []):
        if not subject.startswith(DEVICES):
            continue
        for kind in ("role", "revoked"):
            if kind in ops.get("set", {}):
                fact = Fact()
                fact.kind, fact.value = kind, ops["set"][kind]
                fact.device = parse_device_id(subject[len(DEVICES) :])
                fact.author, fact.chain, fact.seq, fact.time = author, chain, seq, time
                fact.order, fact.past = order, past
                out.append(fact)
    return out


class Members:
    """The judge over a set of facts. It is made anew whenever there are new ones."""

    def __init__(self, founder, facts):
        self.founder = founder
        self.facts = facts
        self.roles = {}  # device → its role facts
        for fact in facts:
            if fact.kind == "role":
                self.roles.setdefault(fact.device, []).append(fact)
        # As if nothing had ever been revoked.
        self.counting = set()  # commits that hold a revocation that counts
        self.revocations = {}  # device → the maps that revocations of it name
        self.memo = {}
        self.plain = {}  # the memo of that world, kept for the first verdict
        self._settle()

    # 7.3 Cuts

    def past_cut(self, author, chain, seq):
        maps = self.revocations.get(author)
        return bool(maps) and seq > min(each.get(chain.hex(), 0) for each in maps)

    def revoked(self, device):
        return device in self.revocations

    # 7.3 Roles. `plain`: as if nothing had ever been revoked.

    def authorized(self, fact, plain=False):
        if not plain:
            if fact.commit in self.counting:
                return True
            if self.past_cut(fact.author, fact.chain, fact.seq):
                return False
        memo = self.plain if plain else self.memo
        if fact.commit not in memo:
            memo[fact.commit] = self.role_at(fact.author, fact.past, plain) == "owner"
        return memo[fact.commit]

    def role_at(self, device, past, plain=False):
        facts = [f for f in self.roles.get(device, ()) if past.covers(f.chain, f.seq) and self.authorized(f, plain)]
        facts = [f for f in facts if not any(other.had_seen(f) for other in facts)]
        if facts:
            return max(facts, key=lambda f: f.rank).value
        return "owner" if device == self.founder else None

    def role_now(self, device):
        """By the whole log. A revoked device has none any more."""
        return None if self.revoked(device) else self.role_at(device, _Everything)

    # 7.3 Which revocations count: the senior's does

    def _settle(self):
        by_author = {}
        for fact in sorted(self.facts, key=lambda f: (*f.rank, f.order)):
            by_author.setdefault(fact.author, []).append(fact)
        counted = set()
        again = True
        while again:
            again = False
            queue, met = [self.founder], {self.founder}
            while queue:
                own = by_author.get(queue.pop(0), [])
                for fact in own:
                    if fact.kind == "revoked" and fact not in counted and self.authorized(fact):
                        counted.add(fact)
                        self.counting.add(fact.commit)
                        self.revocations.setdefault(fact.device, []).append(fact.value)
                        self.memo = {}
                        again = True
                for fact in own:
                    makes_owner = fact.kind == "role" and fact.value == "owner" and fact.device not in met
                    if makes_owner and self.authorized(fact):
                        met.add(fact.device)
                        queue.append(fact.device)

    # 7.4

    def verdict(self, author, past, reserved):
        """Of the commit that has this past."""

        def allows(role):
            return role == "owner" or (role == "writer" and not reserved)

        if not allows(self.role_at(author, past, plain=True)):
            return UNAUTHORIZED
        if (past.chain, past.seq) in self.counting:
            return COUNTS
        if self.past_cut(author, past.chain, past.seq) or not allows(self.role_at(author, past)):
            return VOID
        return COUNTS

    @property
    def cuts(self):
        """Something to compare: it changes when older commits must be judged again."""
        maps = {d: sorted(tuple(sorted(m.items())) for m in each) for d, each in self.revocations.items()}
        return maps, frozenset(self.counting)


class _Everything:
    @staticmethod
    def covers(chain, seq):
        return True
