"""Messages: what they look like, and which are refused (section 11)."""

from collections import namedtuple

from .commit import ROLES
from .errors import Fault
from .values import BadValue, decode, encode, is_count, is_name, is_subject

HELLO, HEARTBEAT, SUBSCRIBE_ALL, SUBSCRIBE, BATCH, CAUGHT_UP = 1, 2, 3, 5, 7, 9
ACK, UNSUBSCRIBE, UNSUBSCRIBED, PAIR, PAIRED, REFUSED, ERROR = 11, 13, 15, 17, 19, 21, 23
FORK = 24  # of a known form, and then ignored: this peer settles no forks

CREDIT_DEFAULT, CREDIT_MIN, CREDIT_MAX = 4_194_304, 2_097_152, 1_073_741_824
VECTOR_CHAINS_MAX = 20_000
LIMITS = {"message": 4_194_304, "batch": 2_097_152}

SpaceState = namedtuple("SpaceState", "space epoch head digest")


class BadMessage(Exception):
    pass


# The fields of each message. What stands behind those that are known is ignored, in the arrays inside too.


def need(condition):
    if not condition:
        raise BadMessage


def _bytes(size):
    return lambda value: need(type(value) is bytes and len(value) == size)


def _count(value):
    need(is_count(value))


def _name(value):
    need(is_name(value))


def _bool(value):
    need(type(value) is bool)


def _list(value, most):
    need(type(value) is list and len(value) <= most)


def _once(value):
    """Each space, or chain, is listed once."""
    need(len({each[0] for each in value}) == len(value))


def _space_states(value):
    _list(value, 256)
    for each in value:
        need(type(each) is list and len(each) >= 4)
        _bytes(32)(each[0]), _bytes(8)(each[1]), _count(each[2]), _bytes(32)(each[3])
    _once(value)


def _capabilities(value):
    _list(value, 64)
    for each in value:
        _name(each)


def _limits(value):
    need(type(value) is dict)
    for key in LIMITS:
        _count(value.get(key))


def _from(value):
    if value == 0 and type(value) is int:
        return
    need(type(value) is list and value and is_count(value[0]))
    if value[0] == 1:
        need(len(value) >= 3)
        _bytes(8)(value[1]), _count(value[2])
    else:
        need(value[0] == 2 and len(value) >= 2)
        _list(value[1], VECTOR_CHAINS_MAX)
        for each in value[1]:
            need(type(each) is list and len(each) >= 3)
            _bytes(16)(each[0]), _count(each[1]), _bytes(32)(each[2])
            need(each[1] > 0)
        _once(value[1])


def _credit(value):
    _count(value)
    need(CREDIT_MIN <= value <= CREDIT_MAX)


def _filter(value):
    need(type(value) is list and len(value) >= 2 and is_count(value[0]) and value[0] < 2 and is_subject(value[1]))


def _fault(value):
    need(type(value) is list and len(value) >= 5)
    _name(value[0]), _bool(value[1]), _count(value[2])
    need(type(value[3]) is str and len(value[3].encode("utf-16-be")) <= 4000 and type(value[4]) is dict)


def _maybe(check):
    return lambda value: value is None or check(value)


def _invite(value):
    need(type(value) is list and len(value) >= 2)
    _bytes(8)(value[0]), _bytes(32)(value[1])


def _proof(value):
    need(type(value) is bytes and 1 <= len(value) <= 131_072)


def _data(value):
    need(type(value) is bytes)


def _role(value):
    need(value in ROLES)


FORMS = {
    HELLO: (_count, _name, _name, _capabilities, _limits, _space_states, _count),
    HEARTBEAT: (_space_states, _count),
    SUBSCRIBE_ALL: (_count, _bytes(32), _from, _bool, _credit),
    SUBSCRIBE: (_count, _bytes(32), _from, _bool, _credit, _filter),
    BATCH: (_count, _count, _count, _count, _count, _data),
    CAUGHT_UP: (_count, _count, _bytes(32)),
    ACK: (_count, _count, _count),
    UNSUBSCRIBE: (_count,),
    UNSUBSCRIBED: (_count, _maybe(_fault)),
    PAIR: (_maybe(_invite), _name),
    PAIRED: (_bytes(32), _name, _role),
    REFUSED: (_fault,),
    ERROR: (_fault,),
    FORK: (_bytes(32), _proof),
}


def decode_message(data):
    """(type, its known fields), or None for one that may be missed."""
    if len(data) > LIMITS["message"]:
        raise Fault("message-too-large")
    try:
        value = decode(data, 8)
        need(type(value) is list and value and is_count(value[0]))
        kind = value[0]
        if kind not in FORMS:
            if kind % 2:
                raise Fault("unknown-message")
            return None
        if kind == HELLO:  # before anything else: another version may look otherwise
            need(len(value) > 1 and is_count(value[1]))
            if value[1] != 1:
                raise Fault("unsupported-version")
        form = FORMS[kind]
        need(len(value) > len(form))
        for check, field in zip(form, value[1:]):
            check(field)
        if kind == BATCH:
            need(value[3] >= value[2] and value[4] in (0, 1) and len(value[6]) <= 2_097_152)
            if value[5] > 2_097_152:
                raise Fault("batch-too-large")
        return kind, value[1 : 1 + len(form)]
    except (BadValue, BadMessage):
        raise Fault("bad-message") from None


def encode_message(kind, *fields):
    return encode([kind, *fields])
