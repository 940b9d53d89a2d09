"""Values: MessagePack within the rules of section 2."""

import math
import struct

import msgpack

INTEGER_MAX = 2**53 - 1


class BadValue(ValueError):
    pass


def _map(pairs):
    out = {}
    for key, value in pairs:
        if not isinstance(key, str) or key in out or key == "__proto__":
            raise BadValue("a map's key is no string, or occurs twice")
        out[key] = value
    return out


def _no_extension(code, data):
    raise BadValue("an extension type")


def _check(value, levels):
    """Checks bounds, and makes floats that are whole numbers integers, so that nobody need tell them apart."""
    kind = type(value)
    if kind is str or kind is bytes or kind is bool or value is None:
        return value
    if kind is int:
        if -INTEGER_MAX <= value <= INTEGER_MAX:
            return value
        raise BadValue("an integer past 2^53")
    if kind is float:
        if not math.isfinite(value) or abs(value) > INTEGER_MAX:
            raise BadValue("a float that is not finite, or past 2^53")
        return int(value) if value.is_integer() else value
    if kind is list or kind is dict:
        if levels < 1:
            raise BadValue("nested too deeply")
        if kind is list:
            return [_check(each, levels - 1) for each in value]
        return {key: _check(each, levels - 1) for key, each in value.items()}
    raise BadValue("an extension type")  # msgpack makes a Timestamp of one without asking


def decode(data, levels):
    """One value and nothing after it, with at most so many levels of nesting."""
    try:
        value = msgpack.unpackb(
            data, raw=False, strict_map_key=False, object_pairs_hook=_map, ext_hook=_no_extension
        )
    except BadValue:
        raise
    except (ValueError, msgpack.UnpackException, RecursionError, TypeError) as error:
        raise BadValue(str(error)) from None
    return _check(value, levels)


def encode(value):
    return msgpack.packb(value, use_bin_type=True)


def is_count(value):
    return type(value) is int and 0 <= value <= INTEGER_MAX


def is_number(value):
    return type(value) in (int, float)  # and no boolean, which Python takes for an int


def is_text(value, least, most):
    """A text of section 2: its length in bytes of UTF-8, and no control characters."""
    if type(value) is not str or any(c < " " or c == "\x7f" for c in value):
        return False
    return least <= len(value.encode()) <= most


def is_subject(value):
    return is_text(value, 1, 1024)


def is_property(value):
    return is_text(value, 1, 255) and value != "__proto__"


def is_name(value):
    return is_text(value, 0, 64)


def utf16(text):
    """A key that sorts strings by UTF-16 code units."""
    return text.encode("utf-16-be")


def canonical(value):
    """The encoding of section 8.2. Equal values have the same one, and different values different ones."""
    if type(value) is list:
        return _head(len(value), 0x90, 0xDC) + b"".join(map(canonical, value))
    if type(value) is dict:
        keys = sorted(value, key=utf16)
        return _head(len(value), 0x80, 0xDE) + b"".join(canonical(k) + canonical(value[k]) for k in keys)
    if type(value) is float:
        return canonical(int(value)) if value.is_integer() else b"\xcb" + struct.pack(">d", value)
    return encode(value)  # msgpack writes the shortest form of these, integers that aren't negative unsigned


def _head(count, fixed, long):
    if count < 16:
        return bytes([fixed | count])
    return struct.pack(">BH", long, count) if count < 65536 else struct.pack(">BI", long + 1, count)
