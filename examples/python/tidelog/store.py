"""The store: one SQLite file and the device's key in a folder that one process at a time may use."""

import fcntl
import os
import sqlite3

from .errors import Fault

SCHEMA = """
CREATE TABLE IF NOT EXISTS meta (key TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS chains (id BLOB PRIMARY KEY, device BLOB, nonce BLOB) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS log (
  position INTEGER PRIMARY KEY, chain BLOB, seq INTEGER, prev BLOB, id BLOB,
  body BLOB,                     -- NULL: erased, or never come
  stem BLOB, changes_hash BLOB, signature BLOB
);
CREATE UNIQUE INDEX IF NOT EXISTS by_chain ON log (chain, seq);
CREATE TABLE IF NOT EXISTS cursors (device BLOB PRIMARY KEY, epoch BLOB, position INTEGER) WITHOUT ROWID;
"""


class Store:
    def __init__(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.lock = open(os.path.join(folder, "lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise Fault("data-in-use") from None
        self.seed = self._key(os.path.join(folder, "device.key"))
        self.db = sqlite3.connect(os.path.join(folder, "log.sqlite"), isolation_level=None)
        # With FULL, what COMMIT returned from is on the disk: only then may an ACK be sent (section 11.7).
        self.db.execute("PRAGMA journal_mode=WAL")
        self.db.execute("PRAGMA synchronous=FULL")
        self.db.executescript(SCHEMA)

    @staticmethod
    def _key(path):
        if not os.path.exists(path):
            fd = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            os.write(fd, os.urandom(32))
            os.fsync(fd)
            os.close(fd)
        with open(path, "rb") as file:
            return file.read()

    def close(self):
        self.db.close()
        self.lock.close()

    def get(self, key):
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row and row[0]

    def put(self, **values):
        with self:
            for key, value in values.items():
                self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # A transaction: `with store:`. May be nested; the outermost one counts.

    depth = 0

    def __enter__(self):
        if self.depth == 0:
            self.db.execute("BEGIN IMMEDIATE")
        self.depth += 1

    def __exit__(self, kind, error, trace):
        self.depth -= 1
        if self.depth == 0:
            self.db.execute("COMMIT" if kind is None else "ROLLBACK")

    # The log

    def chains(self):
        return self.db.execute("SELECT id, device, nonce FROM chains").fetchall()

    def append(self, position, entry, keep_body):
        self.db.execute(
            "INSERT OR IGNORE INTO chains VALUES (?, ?, ?)", (entry.chain, entry.device, entry.nonce)
        )
        body = entry.body
        self.db.execute(
            "INSERT INTO log VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (position, entry.chain, entry.seq, entry.prev, entry.id, body.data if keep_body else None,
             body.stem, body.changes_hash, entry.signature),
        )  # fmt: skip

    def erase(self, chain, seq):
        self.db.execute("UPDATE log SET body = NULL WHERE chain = ? AND seq = ?", (chain, seq))

    def fill(self, chain, seq, body):
        self.db.execute("UPDATE log SET body = ? WHERE chain = ? AND seq = ?", (body, chain, seq))

    def id_at(self, chain, seq):
        row = self.db.execute("SELECT id FROM log WHERE chain = ? AND seq = ?", (chain, seq)).fetchone()
        return row and row[0]

    def read(self, after=0, limit=-1):
        """(position, chain, seq, prev, id, body, stem, changes hash, signature, device, nonce), in order."""
        return self.db.execute(
            "SELECT log.*, device, nonce FROM log JOIN chains ON chains.id = chain"
            " WHERE position > ? ORDER BY position LIMIT ?",
            (after, limit),
        )

    # Cursors: how far of each device's log is here

    def cursor(self, device):
        return self.db.execute("SELECT epoch, position FROM cursors WHERE device = ?", (device,)).fetchone()

    def set_cursor(self, device, epoch, position):
        self.db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", (device, epoch, position))

    def forget_cursor(self, device):
        self.db.execute("DELETE FROM cursors WHERE device = ?", (device,))
