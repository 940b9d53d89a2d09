"""Faults and their codes (section 14)."""

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

RETRY = {"timeout", "too-many", "shutting-down", "internal", "cursor-mismatch", "cursor-epoch",
         "cursor-too-old", "cursor-too-new", "pairing-pending", "not-a-member", "data-in-use",
         "store-full", "store-failed", "unreachable"}  # fmt: skip

# There is no ERROR for these: the WebSocket closes with the code alone.
SILENT = {"bad-handshake", "wrong-device", "self-connect", "bad-frame", "message-too-large"}


class Fault(Exception):
    """Something that the protocol has a code for."""

    def __init__(self, code, text="", remote=False):
        super().__init__(f"{code}: {text}" if text else code)
        self.code = code
        self.text = text
        self.remote = remote  # the other side said so

    def encode(self):
        """The fault as a message carries it (section 11)."""
        return [self.code, self.code in RETRY, 0, self.text or self.code, {}]
