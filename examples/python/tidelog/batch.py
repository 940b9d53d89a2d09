"""Batches and their codecs (section 5)."""

import zstandard

from .commit import ZEROS, commit_id, header, parse_body, parse_stem
from .errors import Fault
from .ids import chain_id, key_acceptable, signature_acceptable
from .values import BadValue, decode, encode, is_count

RAW_BYTES_MAX = 2_097_152
DATA_BYTES_MAX = 2_097_152
ENTRIES_MAX = 4_096


class Entry:
    """A commit, or an erased one, with what a batch doesn't say: its seq, prev and id."""

    __slots__ = ("chain", "device", "nonce", "seq", "prev", "id", "body", "signature", "header")


def _bad(why):
    raise Fault("bad-batch", why)


def unpack(codec, raw_bytes, data):
    """The bytes of a batch from those of a message (section 5.1)."""
    if raw_bytes > RAW_BYTES_MAX:
        raise Fault("batch-too-large")
    if codec == 0:
        if len(data) != raw_bytes:
            _bad("the sizes differ")
        return data
    if data[:4] != b"\x28\xb5\x2f\xfd" or len(data) < 6:
        _bad("no zstd frame")
    if data[4] & 0x08:
        _bad("a reserved bit")
    try:
        frame = zstandard.get_frame_parameters(data)
    except zstandard.ZstdError as error:
        _bad(str(error))
    # A declared size of 0 is possible; zstandard tells it from an unknown one, which is 2^64 − 1.
    if frame.content_size != raw_bytes or frame.dict_id or frame.has_checksum or data[4] & 0x03:
        _bad("a zstd frame that isn't allowed")
    if frame.window_size > RAW_BYTES_MAX:
        _bad("a window too large")
    _check_blocks(data, frame.window_size)
    # Never more than one byte too many: what is packed in 2 MB could unpack to gigabytes.
    try:
        raw = zstandard.ZstdDecompressor().stream_reader(data).read(raw_bytes + 1)
    except zstandard.ZstdError as error:
        _bad(str(error))
    if len(raw) != raw_bytes:
        _bad("the sizes differ")
    return raw


def _check_blocks(data, window):
    """Walks over the blocks of the frame: none too large, and nothing after the last."""
    at = zstandard.frame_header_size(data)
    while True:
        if at + 3 > len(data):
            _bad("cut off")
        block = int.from_bytes(data[at : at + 3], "little")
        last, kind, size = block & 1, block >> 1 & 3, block >> 3
        if kind == 3 or size > min(131_072, window):
            _bad("a block that isn't allowed")
        at += 3 + (1 if kind == 1 else size)
        if last:
            break
    if at != len(data):
        _bad("something after the frame")


def pack(raw, zstd):
    """(codec, data)"""
    if zstd:
        data = zstandard.ZstdCompressor(level=3, write_checksum=False, write_content_size=True).compress(raw)
        if len(data) < len(raw):
            return 1, data
    return 0, raw


def decode_batch(space, raw, span=ENTRIES_MAX):
    """
    The entries of a batch for one that holds the whole space, linked and with every run's last signature
    verified. Returns ([(chain id, device, nonce, seq before, id before)], [Entry]). Gaps are checked like
    the rest, and then refused. `span` is how far the batch moves the cursor, and so the most that can be in it.
    """
    if len(raw) > RAW_BYTES_MAX:
        raise Fault("batch-too-large")
    try:
        value = decode(raw, 4)
    except BadValue as error:
        _bad(str(error))
    if type(value) is not list or len(value) != 3:
        _bad("not of three")
    listed, entries, signatures = value
    if type(listed) is not list or type(entries) is not list or type(signatures) is not bytes:
        _bad("not of its form")
    if len(entries) > ENTRIES_MAX:
        raise Fault("batch-too-large")
    if len(entries) > span:
        _bad("more entries than the cursor moves")

    chains = []
    for each in listed:
        if type(each) is not list or len(each) != 4:
            _bad("a chain")
        device, nonce, seq, before = each
        if not all(type(each) is bytes for each in (device, nonce, before)) or not is_count(seq):
            _bad("a chain")
        if len(device) != 32 or len(nonce) != 8 or len(before) != 32:
            _bad("a chain")
        if not key_acceptable(device):
            raise Fault("bad-key")
        if (seq == 0) != (before == ZEROS):
            raise Fault("unlinked")
        chains.append((chain_id(space, device, nonce), device, nonce, seq, before))
    if len({chain for chain, *_ in chains}) != len(chains):
        _bad("a chain listed twice")

    heads = [[seq, before] for _, _, _, seq, before in chains]
    runs = {}  # chain → the last entry of its run, so far
    met, gap = set(), False
    out = []
    for each in entries:
        if type(each) is not list or len(each) not in (2, 3) or not is_count(each[0]):
            _bad("an entry")
        if each[0] >= len(chains):
            _bad("a chain that isn't listed")
        chain, device, nonce, _, _ = chains[each[0]]
        met.add(chain)
        if len(each) == 3 and is_count(each[1]) and type(each[2]) is bytes and len(each[2]) == 32:
            if each[1] < 1:
                _bad("a gap to nowhere")
            if each[1] <= heads[each[0]][0]:
                raise Fault("unlinked")
            _verify(runs.pop(chain, None))  # a run ends where a gap begins
            heads[each[0]][:] = each[1], each[2]
            gap = True
            continue
        if type(each[1]) is not bytes:
            _bad("an entry")
        if len(each) == 2:
            body = parse_body(each[1], chain)
        elif type(each[2]) is bytes and len(each[2]) == 32:
            body = parse_stem(each[1], each[2], chain)
        else:
            _bad("an entry")
        at = 64 * len(out)
        signature = signatures[at : at + 64]
        if len(signature) < 64:
            _bad("too few signatures")
        head = heads[each[0]]
        entry = Entry()
        entry.chain, entry.device, entry.nonce, entry.body = chain, device, nonce, body
        entry.seq, entry.prev, entry.signature = head[0] + 1, head[1], signature
        entry.header = header(space, device, nonce, entry.seq, entry.prev, body.hash)
        entry.id = commit_id(entry.header, signature)
        head[:] = entry.seq, entry.id
        runs[chain] = entry
        out.append(entry)
    if len(signatures) != 64 * len(out):
        _bad("too many signatures")
    if len(met) != len(chains):
        _bad("a chain without an entry")
    for entry in runs.values():
        _verify(entry)
    if gap:
        raise Fault("gap-refused")
    return chains, out


def _verify(entry):
    """4.3: each id covers what is before it, so that a run's last signature vouches for all of it."""
    if entry and not signature_acceptable(entry.device, b"tidelog/1 commit" + entry.header, entry.signature):
        raise Fault("bad-signature")


def encode_batch(rows):
    """Of rows (device, nonce, seq, prev, body or None, stem, changes hash, signature), in the log's order."""
    chains, index, entries, signatures = [], {}, [], []
    for device, nonce, seq, prev, body, stem, changes_hash, signature in rows:
        key = (device, nonce)
        if key not in index:
            index[key] = len(chains)
            chains.append([device, nonce, seq - 1, prev])
        entries.append([index[key], body] if body is not None else [index[key], stem, changes_hash])
        signatures.append(signature)
    return encode([chains, entries, b"".join(signatures)])
