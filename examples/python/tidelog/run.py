"""Connections: pairing by a link, one sync, and the loop that stays connected for ever (sections 12.4 and 13.5)."""

import asyncio
import json
import os
import random
import sqlite3

from .channel import reach
from .errors import Fault
from .pairing import join
from .peer import Session
from .replica import Replica

# What a link can't get over, however often it is tried. Everything else before pairing may be the network's fault.
HOPELESS = {"bad-link", "wrong-space", "device-revoked", "pairing-rejected", "self-connect", "invite-unknown",
            "invite-expired", "invite-used", "invite-wrong-secret", "invite-dead"}  # fmt: skip


def open_replica(store, warn):
    space = store.get("space")
    if space is None:
        raise Fault("data-missing", "join first")
    return Replica(store, space, warn)


class Runner:
    """`note` prints faults and warnings, `say` what goes on."""

    def __init__(self, store, say, note):
        self.store, self.say, self.note = store, say, note
        self.replica = None
        self.session = None  # the last one

    async def once(self, origins, device, live, link=None, name="python"):
        """One connection, to its end. With a link the folder isn't paired yet, and this begins with that."""
        channel = await reach(self.store.seed, origins, device)
        hello, fault = None, None
        try:
            if link:
                hello = await join(channel, self.store.seed, link, name, self.say)
                remote = {"remote": link.device, "origins": json.dumps(origins)}
                self.store.put(space=link.space, epoch=os.urandom(8), name=name, **remote)
            if self.replica is None:
                self.replica = open_replica(self.store, self.note)
            self.session = Session(channel, self.replica, self.store.get("name"), live, hello, self.say)
            await self.session.run()
        except Fault as error:
            fault = error
        except sqlite3.Error as error:
            fault = Fault("store-failed", str(error))
        except Exception as error:  # a bug here, that input of the other side has found
            fault = Fault("internal", repr(error))
        finally:
            await channel.close(fault)
        if fault:
            raise fault

    async def for_ever(self, link, name):
        """Pairs if need be, then follows and serves, until it is cancelled."""
        if self.store.get("space") not in (None, link.space):
            raise Fault("wrong-space", "this folder holds another space")
        attempt = 0
        while True:
            paired = self.store.get("space") is not None
            self.session = None
            try:
                await self.once(link.addresses, link.device, True, None if paired else link, name)
            except Fault as error:
                fault = error
            self.note(fault.line)
            if not paired and self.store.get("space") is None and fault.code in HOPELESS:
                raise fault
            if self.session and self.session.was_level:
                attempt = 0
            await asyncio.sleep(pause(attempt, fault.retry))
            attempt += 1


def pause(attempt, retry):
    """Seconds before the next attempt: they grow, and are jittered; and it is rarely tried where that has no chance."""
    first, most = (0.2, 5) if retry else (2, 30)
    return min(most, first * 2 ** min(attempt, 10)) * random.uniform(0.75, 1.25)
