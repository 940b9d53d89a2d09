"""Pairing with an invite, on the joiner's side (section 13.5)."""

from . import ids
from .errors import Fault
from .link import proof
from .messages import HEARTBEAT, HELLO, PAIR, PAIRED, REFUSED
from .noise import digits


async def join(channel, seed, link, name, say):
    """Asks to be let in. When it returns, this device is a member; what it returns is a HELLO to be heeded, or None."""
    say(f"digits {digits(channel.hash)}")
    await channel.send(PAIR, [link.invite, proof(link.secret, channel.hash, ids.public_key(seed))], name)
    hello = None
    while True:
        kind, fields = await channel.receive()
        if kind == PAIRED:
            if fields[0] != link.space:
                raise Fault("wrong-space")
            say(f"joined {fields[1]} as {fields[2]}")
            return hello
        if kind == HELLO:
            hello = fields  # the inviter knows us already: heeded after PAIRED
        elif kind == REFUSED:
            fault = Fault.told(fields[0])
            if fault.code == "invite-used" and hello and any(each[0] == link.space for each in hello[5]):
                # It offers us the space, so it was us who used the invite, and PAIRED was lost on its way.
                say("joined before")
                return hello
            if fault.code != "pairing-pending":
                raise fault
        elif kind not in (HEARTBEAT, PAIR):  # this peer lets nobody in
            raise Fault("bad-message")
