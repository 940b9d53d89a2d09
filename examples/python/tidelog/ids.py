"""Keys, signatures, device IDs, and what is hashed (sections 3, 4.1, 6)."""

import hashlib

from nacl.exceptions import BadSignatureError
from nacl.signing import SigningKey, VerifyKey

from .errors import Fault

ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
P = 2**255 - 19
L = 2**252 + 27742317777372353535851937790883648493
SMALL_ORDER = {
    bytes.fromhex(each)
    for each in (
        "0000000000000000000000000000000000000000000000000000000000000000",
        "0100000000000000000000000000000000000000000000000000000000000000",
        "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
        "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
        "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    )
}


def sha256(*parts):
    return hashlib.sha256(b"".join(parts)).digest()


# 3.1 The strict rule


def key_acceptable(key):
    if type(key) is not bytes or len(key) != 32:
        return False
    unsigned = key[:31] + bytes([key[31] & 0x7F])
    return int.from_bytes(unsigned, "little") < P and unsigned not in SMALL_ORDER


def signature_acceptable(key, message, signature):
    """PyNaCl compares R as bytes and has no cofactor; the other cases it and others differ on are cut off before."""
    if len(signature) != 64 or not key_acceptable(key) or not key_acceptable(signature[:32]):
        return False
    if int.from_bytes(signature[32:], "little") >= L:
        return False
    try:
        VerifyKey(key).verify(message, signature)
        return True
    except (BadSignatureError, ValueError):
        return False


def sign(seed, message):
    return SigningKey(seed).sign(message).signature


def public_key(seed):
    return bytes(SigningKey(seed).verify_key)


# 3.2 Device IDs


def _check_character(part):
    total = 0
    for i, c in enumerate(part):
        product = ALPHABET.index(c) * (1 + i % 2)
        total += product // 32 + product % 32
    return ALPHABET[(32 - total % 32) % 32]


def device_id(key):
    number = int.from_bytes(key, "big") << 4
    text = "".join(ALPHABET[(number >> (5 * i)) & 31] for i in reversed(range(52)))
    parts = [text[i : i + 13] for i in range(0, 52, 13)]
    text = "".join(part + _check_character(part) for part in parts)
    return "-".join(text[i : i + 7] for i in range(0, 56, 7))


def parse_device_id(text):
    text = "".join(text.split()).replace("-", "")
    text = text.upper() if text.isascii() else ""  # outside of ASCII, letters exist that have an upper case in it
    text = text.replace("0", "O").replace("1", "I").replace("8", "B")
    if len(text) != 56 or any(c not in ALPHABET for c in text):
        raise Fault("bad-device-id")
    parts = [text[i : i + 14] for i in range(0, 56, 14)]
    for i, part in enumerate(parts):
        if _check_character(part[:13]) != part[13]:
            raise Fault("bad-device-id", f"groups {2 * i + 1} and {2 * i + 2}")
    number = 0
    for c in "".join(part[:13] for part in parts):
        number = number << 5 | ALPHABET.index(c)
    if number & 15:
        raise Fault("bad-device-id", "group 8")
    return (number >> 4).to_bytes(32, "big")


# 4.1 What is hashed


def space_id(owner, salt):
    return sha256(b"tidelog/1 space", owner, salt)


def chain_id(space, device, nonce):
    return sha256(b"tidelog/1 chain", space, device, nonce)[:16]


def digest(vector):
    """Of {chain id: (seq, head id)} (section 6)."""
    heads = (chain + seq.to_bytes(8, "big") + head for chain, (seq, head) in sorted(vector.items()) if seq)
    return sha256(b"tidelog/1 digest", *heads)
