"""The state of a space: what its commits come to (section 8)."""

from .values import INTEGER_MAX, canonical, is_number, utf16


class Past:
    """What the author of one commit had seen (section 4.4): its own chain before it, and of others what it named."""

    __slots__ = ("others", "chain", "seq")

    def __init__(self, others, chain, seq):
        self.others, self.chain, self.seq = others, chain, seq

    def covers(self, chain, seq):
        return seq < self.seq if chain == self.chain else seq <= self.others.get(chain, 0)


class Dot:
    """Which commit wrote something."""

    __slots__ = ("chain", "seq", "time", "author")

    def __init__(self, chain, seq, time, author):
        self.chain, self.seq, self.time, self.author = chain, seq, time, author

    @property
    def rank(self):
        return self.time, self.author, self.chain

    def seen(self, past):
        return past.covers(self.chain, self.seq)


class Property:
    __slots__ = ("candidates", "incs", "elements")

    def __init__(self):
        self.candidates = []  # [(value, dot)]
        self.incs = []  # [(amount, dot)]
        self.elements = {}  # canonical encoding → (value, [dot])

    def empty(self):
        return not (self.candidates or self.incs or self.elements)

    # What an op takes away is what its author had seen.

    def clear_candidates(self, past, only=lambda value: True):
        self.candidates = [(v, dot) for v, dot in self.candidates if not (dot.seen(past) and only(v))]

    def clear_incs(self, past):
        self.incs = [(n, dot) for n, dot in self.incs if not dot.seen(past)]

    def clear_elements(self, past, keys=None):
        for key in list(self.elements) if keys is None else keys:
            if key in self.elements:
                value, dots = self.elements[key]
                dots = [dot for dot in dots if not dot.seen(past)]
                if dots:
                    self.elements[key] = value, dots
                else:
                    del self.elements[key]

    def clear(self, past):
        self.clear_candidates(past)
        self.clear_incs(past)
        self.clear_elements(past)

    # 8.2 and 8.3

    def alternatives(self):
        """All that it could show, the first being what it shows."""
        count = sum(n for n, _ in self.incs)
        out = []
        if self.elements:
            values = [value for value, _ in self.elements.values()]
            out.append(sorted(values, key=_order))
        number = False
        for value, _ in sorted(self.candidates, key=lambda each: each[1].rank, reverse=True):
            if is_number(value):
                number = True
                value = _plus(value, count)
            out.append(value)
        if self.incs and not number:
            out.append(_bound(count))
        return out

    def value(self):
        return self.alternatives()[0]

    def conflict(self):
        """The other values, where two hadn't seen each other; else empty."""
        values = {}
        for value in self.alternatives():
            values.setdefault(canonical(value), value)
        return list(values.values())[1:]


def _order(value):
    return (1, utf16(value)) if type(value) is str else (0, canonical(value))


def _bound(number):
    return max(-INTEGER_MAX, min(INTEGER_MAX, number))


def _plus(value, count):
    if type(value) is int:
        return _bound(value + count)
    total = _bound(value + float(count))
    return int(total) if float(total).is_integer() else total


class State:
    def __init__(self):
        self.subjects = {}  # subject → {property: Property}

    def apply(self, changes, dot, past):
        for subject, ops in changes:
            resource = self.subjects.setdefault(subject, {})
            if "destroy" in ops:
                for prop in resource.values():
                    prop.clear(past)
            for name, value in ops.get("set", {}).items():
                prop = resource.setdefault(name, Property())
                prop.clear(past)
                prop.candidates.append((value, dot))
            for name in ops.get("unset", []):
                if name in resource:
                    resource[name].clear(past)
            for name, amount in ops.get("inc", {}).items():
                prop = resource.setdefault(name, Property())
                prop.clear_candidates(past, only=lambda value: not is_number(value))
                prop.clear_elements(past)
                prop.incs.append((amount, dot))
            for name, values in ops.get("remove", {}).items():
                if name in resource:
                    resource[name].clear_elements(past, map(canonical, values))
            for name, values in ops.get("add", {}).items():
                prop = resource.setdefault(name, Property())
                prop.clear_candidates(past)
                prop.clear_incs(past)
                for value in values:
                    key = canonical(value)
                    prop.clear_elements(past, [key])
                    _, dots = prop.elements.setdefault(key, (value, []))
                    if dot not in dots:  # a value may stand there twice
                        dots.append(dot)
            for name in [name for name, prop in resource.items() if prop.empty()]:
                del resource[name]
            if not resource:
                del self.subjects[subject]

    def get(self, subject):
        return {name: prop.value() for name, prop in sorted(self.subjects.get(subject, {}).items())}

    def export(self, subject):
        """What it shows, as the ops that would make it: of a set `add`, of a counter `inc`, else `set`."""
        ops = {}
        for name, prop in sorted(self.subjects.get(subject, {}).items()):
            op = "add" if prop.elements else "set" if prop.candidates else "inc"
            ops.setdefault(op, {})[name] = prop.value()
        return ops

    def conflicts(self, subject):
        resource = self.subjects.get(subject, {})
        return {name: prop.conflict() for name, prop in sorted(resource.items()) if prop.conflict()}

    def list(self, prefix=""):
        return sorted((each for each in self.subjects if each.startswith(prefix)), key=utf16)
