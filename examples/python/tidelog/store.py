"""The store: a folder with the device's key and one SQLite file, which one process at a time may write."""

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
    """With `writes` false it only reads, also beside a process that writes."""

    def __init__(self, folder, writes=True):
        self.writes, self.lock, self.depth = writes, None, 0
        path = os.path.join(folder, "log.sqlite")
        if writes:
            self._own(folder)
        elif not os.path.exists(path):
            raise Fault("data-missing", folder)
        self.seed = self._key(os.path.join(folder, "device.key"))
        self.db = sqlite3.connect(path, isolation_level=None)
        if writes:
            # With FULL, what COMMIT returned from is on the disk: only then may an ACK be sent (section 11.7).
            self.db.execute("PRAGMA journal_mode=WAL")
            self.db.execute("PRAGMA synchronous=FULL")
            self.db.executescript(SCHEMA)
        else:
            self.db.execute("PRAGMA query_only=ON")

    def _own(self, folder):
        os.makedirs(folder, mode=0o700, exist_ok=True)
        self.lock = open(os.path.join(folder, "lock"), "w")
        try:
            fcntl.flock(self.lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            self.lock.close()
            raise Fault("data-in-use", folder) from None

    def _key(self, path):
        """Ed25519's seed. It is on the disk, whole, before anything is signed with it."""
        if not os.path.exists(path):
            with open(path + ".new", "wb", opener=lambda p, flags: os.open(p, flags, 0o600)) as file:
                file.write(os.urandom(32))
                file.flush()
                os.fsync(file.fileno())
            os.rename(path + ".new", path)
            for folder in (os.path.dirname(path) or ".", os.path.dirname(os.path.abspath(os.path.dirname(path)))):
                fd = os.open(folder, os.O_RDONLY)
                os.fsync(fd)
                os.close(fd)
        with open(path, "rb") as file:
            return file.read()

    def close(self):
        self.db.close()
        if self.lock:
            self.lock.close()

    def get(self, key):
        row = self.db.execute("SELECT value FROM meta WHERE key = ?", (key,)).fetchone()
        return row and row[0]

    def put(self, **values):
        with self:
            for key, value in values.items():
                self.db.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, value))

    # A transaction: `with store:`. May be nested; the outermost one counts.

    def __enter__(self):
        if self.depth == 0:
            self._run("BEGIN IMMEDIATE" if self.writes else "BEGIN")
        self.depth += 1

    def __exit__(self, kind, error, trace):
        self.depth -= 1
        if self.depth == 0 and kind is None:
            try:
                self._run("COMMIT")
            except Fault:
                self._rollback()
                raise
        elif self.depth == 0:
            self._rollback()
        if isinstance(error, sqlite3.Error):
            raise _failed(error) from None

    def _run(self, statement):
        try:
            self.db.execute(statement)
        except sqlite3.Error as error:
            raise _failed(error) from None

    def _rollback(self):
        if self.db.in_transaction:  # SQLite may have rolled back by itself, as when the disk is full
            self.db.execute("ROLLBACK")

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

    # Cursors: how far of each device's log is here (section 12.2)

    def cursor(self, device):
        return self.db.execute("SELECT epoch, position FROM cursors WHERE device = ?", (device,)).fetchone()

    def set_cursor(self, device, epoch, position):
        self.db.execute("INSERT OR REPLACE INTO cursors VALUES (?, ?, ?)", (device, epoch, position))

    def forget_cursor(self, device):
        with self:
            self.db.execute("DELETE FROM cursors WHERE device = ?", (device,))


def _failed(error):
    full = getattr(error, "sqlite_errorname", "") == "SQLITE_FULL"
    return Fault("store-full" if full else "store-failed", str(error))
