"""The channel: Noise_XX_25519_ChaChaPoly_SHA256 for the initiator of a connection, and frames (section 10)."""

import hashlib
import hmac

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey, X25519PublicKey
from cryptography.hazmat.primitives.ciphers.aead import ChaCha20Poly1305

from .errors import Fault
from .ids import public_key, sign, signature_acceptable

PROTOCOL = b"Noise_XX_25519_ChaChaPoly_SHA256"
PROLOGUE = b"tidelog/1"
LABEL = b"tidelog/1 noise"
FRAME_PAYLOAD = 65_518
MESSAGE_MAX = 4_194_304


class Cipher:
    def __init__(self, key):
        self.aead = ChaCha20Poly1305(key)
        self.nonce = 0

    def _next(self):
        nonce = bytes(4) + self.nonce.to_bytes(8, "little")
        self.nonce += 1
        return nonce

    def seal(self, data, ad=b""):
        return self.aead.encrypt(self._next(), data, ad)

    def open(self, data, ad=b""):
        return self.aead.decrypt(self._next(), data, ad)


class Symmetric:
    """Noise's SymmetricState."""

    def __init__(self):
        self.h = self.ck = PROTOCOL  # it has exactly 32 bytes
        self.cipher = None
        self.mix_hash(PROLOGUE)

    def mix_hash(self, data):
        self.h = hashlib.sha256(self.h + data).digest()

    def mix_key(self, secret):
        self.ck, key = self._hkdf(secret)
        self.cipher = Cipher(key)

    def _hkdf(self, secret):
        def mac(key, data):
            return hmac.new(key, data, hashlib.sha256).digest()

        temp = mac(self.ck, secret)
        one = mac(temp, b"\x01")
        return one, mac(temp, one + b"\x02")

    def seal(self, data):
        out = self.cipher.seal(data, self.h)
        self.mix_hash(out)
        return out

    def open(self, data):
        out = self.cipher.open(data, self.h)
        self.mix_hash(data)
        return out

    def split(self):
        return [Cipher(key) for key in self._hkdf(b"")]


def _dh(private, public):
    try:
        return private.exchange(X25519PublicKey.from_public_bytes(public))
    except ValueError:  # a shared secret of all zeros
        raise Fault("bad-handshake") from None


def _public(private):
    from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

    return private.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)


class Initiator:
    """message_1(), read(message 2), message_3(), and then `send`, `receive`, `hash` and `device` are there."""

    def __init__(self, seed, expected=None, static=None, ephemeral=None):
        self.seed, self.expected = seed, expected
        self.s = static or X25519PrivateKey.generate()
        self.e = ephemeral or X25519PrivateKey.generate()
        self.state = Symmetric()

    def message_1(self):
        e = _public(self.e)
        self.state.mix_hash(e)
        self.state.mix_hash(b"")  # the payload is empty, and there is no key to seal it with
        return e

    def read(self, message):
        if len(message) != 192:
            raise Fault("bad-handshake")
        state = self.state
        self.re = message[:32]
        state.mix_hash(self.re)
        state.mix_key(_dh(self.e, self.re))
        try:
            rs = state.open(message[32:80])
            state.mix_key(_dh(self.e, rs))
            binding = state.open(message[80:])
        except InvalidTag:
            raise Fault("bad-handshake") from None
        self.device = binding[:32]
        if not signature_acceptable(self.device, LABEL + rs, binding[32:]):
            raise Fault("bad-handshake")
        if self.device == public_key(self.seed):
            raise Fault("self-connect")
        if self.expected is not None and self.device != self.expected:
            raise Fault("wrong-device")  # before message 3, which says who this is

    def message_3(self):
        s = _public(self.s)
        out = self.state.seal(s)
        self.state.mix_key(_dh(self.s, self.re))
        out += self.state.seal(public_key(self.seed) + sign(self.seed, LABEL + s))
        self.hash = self.state.h
        self.send, self.receive = self.state.split()
        return out


class Frames:
    """Messages to frames, and back (section 10.3)."""

    def __init__(self, send, receive):
        self.send, self.receive = send, receive
        self.parts, self.size = [], 0

    def seal(self, message):
        """The Noise messages of one message."""
        out = []
        for at in range(0, len(message), FRAME_PAYLOAD):
            more = at + FRAME_PAYLOAD < len(message)
            out.append(self.send.seal(bytes([more]) + message[at : at + FRAME_PAYLOAD]))
        return out

    def open(self, data):
        """A message, or None while more of it follows."""
        try:
            frame = self.receive.open(data)
        except InvalidTag:
            raise Fault("bad-frame") from None
        if not frame or frame[0] > 1 or (frame[0] == 1 and len(frame) == 1):
            raise Fault("bad-frame")
        self.size += len(frame) - 1
        if self.size > MESSAGE_MAX:
            raise Fault("message-too-large")
        self.parts.append(frame[1:])
        if frame[0] == 1:
            return None
        message = b"".join(self.parts)
        self.parts, self.size = [], 0
        return message


def digits(handshake_hash):
    """The six digits that people compare (section 13.4)."""
    number = int.from_bytes(hashlib.sha256(b"tidelog/1 digits" + handshake_hash).digest()[:8], "big")
    return f"{number % 1_000_000:06}"
