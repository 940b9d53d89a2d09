"""Pairing by link (section 13)."""

import base64
import binascii
import hashlib
import hmac
import re
from collections import namedtuple
from urllib.parse import urlsplit

from .commit import ROLES
from .errors import Fault
from .ids import key_acceptable
from .values import BadValue, decode, is_count, is_name

Link = namedtuple("Link", "device addresses space role invite secret expiry name")
ORIGIN = re.compile(r"https?://[^/?#@\s]+\Z")


def parse_link(text):
    text = "".join(text.split()).removeprefix("<").removesuffix(">")
    front, mark, code = text.partition("/#pair=")
    front = front.lower()
    try:
        if not mark or not re.fullmatch(r"[A-Za-z0-9_-]+", code):
            raise ValueError
        data = base64.urlsafe_b64decode(code + "=" * (-len(code) % 4))
        if len(data) < 6 or data[0] != 1 or hashlib.sha256(data[:-4]).digest()[:4] != data[-4:]:
            raise ValueError
        fields = decode(data[1:-4], 2)
        if type(fields) is not list or len(fields) != 8:
            raise ValueError
        link = Link(*fields)
        sizes = ((link.device, 32), (link.space, 32), (link.invite, 8), (link.secret, 16))
        if not all(type(value) is bytes and len(value) == size for value, size in sizes):
            raise ValueError
        if not key_acceptable(link.device) or link.role not in ROLES:
            raise ValueError
        if not is_count(link.expiry) or not is_name(link.name):
            raise ValueError
        if type(link.addresses) is not list or not 1 <= len(link.addresses) <= 16:
            raise ValueError
        for each in [*link.addresses, front]:
            if type(each) is not str or len(each) > 300 or each != each.lower() or not ORIGIN.match(each):
                raise ValueError
            if urlsplit(each).port == 0:  # and ValueError past 65,535
                raise ValueError
    except (ValueError, TypeError, BadValue, binascii.Error):
        raise Fault("bad-link") from None
    if front != link.addresses[0]:
        link = link._replace(addresses=[front, *link.addresses])
    return link


def proof(secret, handshake_hash, joiner):
    return hmac.new(secret, b"tidelog/1 pair" + handshake_hash + joiner, hashlib.sha256).digest()
