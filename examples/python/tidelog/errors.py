"""Faults: everything that the protocol has a code for (section 14)."""

CLOSE_CODES = {
    "bad-handshake": 4001, "bad-frame": 4002, "bad-message": 4003, "message-too-large": 4004,
    "unknown-message": 4005, "unsupported-version": 4006, "not-paired": 4007, "device-revoked": 4008,
    "timeout": 4009, "credit-exceeded": 4010, "too-many": 4011, "wrong-device": 4012,
    "self-connect": 4013, "shutting-down": 4014, "internal": 4015, "bad-batch": 4020,
    "batch-too-large": 4021, "bad-commit": 4022, "commit-too-large": 4023, "bad-key": 4024,
    "bad-signature": 4025, "unlinked": 4026, "fork": 4027, "causal-gap": 4028, "unauthorized": 4029,
    "wrong-space": 4030, "bad-space": 4031, "gap-refused": 4032, "cursor-mismatch": 4033,
    "invite-unknown": 4040, "invite-expired": 4041, "invite-used": 4042, "invite-wrong-secret": 4043,
    "invite-dead": 4044, "pairing-rejected": 4045,
}  # fmt: skip
CODES = {number: code for code, number in CLOSE_CODES.items()}

RETRY = {"timeout", "too-many", "shutting-down", "internal", "cursor-mismatch", "cursor-epoch",
         "cursor-too-old", "cursor-too-new", "pairing-pending", "not-a-member", "data-in-use",
         "store-full", "quota-exceeded", "store-failed", "unreachable"}  # fmt: skip

# There is no ERROR for these: the WebSocket closes with the code alone.
SILENT = {"bad-handshake", "wrong-device", "self-connect", "bad-frame", "message-too-large"}


class Fault(Exception):
    """`remote`: the other side said so, and isn't told. `retry` is asked for where the code is one we don't know."""

    def __init__(self, code, text="", remote=False, retry=None):
        super().__init__(f"{code}: {text}" if text else code)
        self.code, self.text, self.remote = code, text, remote
        known = code in RETRY or code in CLOSE_CODES
        self.retry = code in RETRY if known or retry is None else retry

    @classmethod
    def told(cls, fault):
        """The fault that a message carries: [code, retry, after, text, detail], and perhaps more."""
        code, retry, _, text, _ = fault[:5]
        return cls(code, text, remote=True, retry=retry)

    def encode(self, detail=None):
        """The fault as a message carries it (section 11)."""
        return [self.code, self.code in RETRY, 0, self.text or self.code, detail or {}]

    @property
    def line(self):
        """For people, on one line: the text may be the other side's, who could put anything into it."""
        text = "".join(c if c.isprintable() else " " for c in str(self))
        return text if len(text) <= 300 else text[:300] + "…"
