"""The hybrid logical clock that gives commits their times, in µs since 1970 (section 9)."""

import time

AHEAD_MAX_US = 86_400_000_000


def now_us():
    return time.time_ns() // 1000


class Clock:
    """`last` must be stored with what moved it: after a restart the local clock may have been put back."""

    def __init__(self, last=0):
        self.last = last

    def tick(self, now):
        """The time of a new commit."""
        self.last = max(now, self.last + 1)
        return self.last

    def observe(self, time, now):
        """A commit of another device is taken in. Whether its time is believed."""
        if time > now + AHEAD_MAX_US:
            return False
        self.last = max(self.last, time)
        return True
