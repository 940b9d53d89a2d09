"""The command line: python3 -m tidelog COMMAND … --data DIR"""

import argparse
import asyncio
import base64
import json
import os
import sys

from . import ids
from .commit import parse_body
from .errors import RETRY, Fault
from .link import parse_link
from .peer import pause, reach
from .replica import Replica
from .store import Store


def as_json(value):
    """For people and scripts. Bytes have no JSON; they are shown as {"$bytes": base64url}."""

    def plain(value):
        if type(value) is bytes:
            return {"$bytes": base64.urlsafe_b64encode(value).decode().rstrip("=")}
        raise TypeError

    return json.dumps(value, ensure_ascii=False, default=plain, separators=(",", ":"))


def say(text):
    print(text, flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


def open_replica(store):
    space = store.get("space")
    if space is None:
        raise Fault("data-missing", "join first")
    return Replica(store, space, warn=note)


async def join(store, args):
    link = parse_link(args.link)
    if store.get("space") not in (None, link.space):
        raise Fault("data-in-use", "this folder holds another space")
    connection = await reach(store.seed, args.name, link.addresses, link.device, live=False, say=say)
    try:
        _, name, role = await connection.join(link)
        if store.get("space") is None:
            store.put(space=link.space, epoch=os.urandom(8), name=args.name)
        store.put(remote=link.device, origins=json.dumps(link.addresses))
        say(f"joined {name} as {role}")
        connection.replica = open_replica(store)
        await connection.run()
        report(connection)
    except Fault as fault:
        await connection.close(fault)
        raise
    await connection.close()


def report(connection):
    replica = connection.replica
    say(f"entries {connection.entries} new {connection.fresh} sent {connection.sent} batches {connection.batches}")
    say(f"digest {replica.digest().hex()}")
    if connection.remote_digest:
        say(f"theirs {connection.remote_digest.hex()}")


async def connect(store, replica, live, origin=None):
    """With the device that let this one in, or at another origin with any that is a member by our log."""
    origins, device = json.loads(store.get("origins")), store.get("remote")
    if origin:
        origins, device = [origin], None
    connection = await reach(store.seed, store.get("name"), origins, device, replica=replica, live=live, say=say)
    try:
        if replica.role_of(connection.device) is None and replica.head:
            raise Fault("not-paired")
        await connection.run()
    except Fault as fault:
        await connection.close(fault)
        raise
    except asyncio.CancelledError:
        await connection.close()
        raise
    await connection.close()
    return connection


async def sync(store, args):
    report(await connect(store, open_replica(store), live=False, origin=args.connect))


async def follow(store, args):
    """Prints what comes, for ever. Reads the log on from where it stands, so that nothing is printed that isn't stored."""
    replica = open_replica(store)
    printed = replica.head

    def show():
        nonlocal printed
        for row in store.read(printed).fetchall():
            printed, chain, seq, data, device = row[0], row[1], row[2], row[5], row[9]
            changes = parse_body(data, chain).changes if data is not None else None
            say(f"commit {printed} {ids.device_id(device)[:7]} {seq} {as_json(changes)}")

    replica.on_growth.append(show)
    attempt = 0
    while True:
        head = replica.head
        try:
            await connect(store, replica, live=True)
        except Fault as fault:
            note(str(fault))
            if fault.code not in RETRY:
                raise
        attempt = 0 if replica.head > head else attempt + 1
        await asyncio.sleep(pause(attempt))


def pairs(texts):
    out = {}
    for text in texts:
        key, mark, value = text.partition("=")
        if not mark:
            raise Fault("bad-argument", text)
        try:
            out[key] = json.loads(value)
        except ValueError:
            out[key] = value
    return out


def write(store, args):
    replica = open_replica(store)
    if args.command == "set":
        ops = {"set": pairs(args.values)}
    elif args.command == "inc":
        ops = {"inc": {args.property: args.by}}
    elif args.command in ("add", "remove"):
        ops = {args.command: {args.property: [pairs([f"={value}"])[""] for value in args.values]}}
    else:
        ops = {"destroy": True}
    entry = replica.commit([[args.subject, ops]])
    say(f"commit {entry.seq} {entry.id.hex()}")


def read(store, args):
    replica = open_replica(store)
    state = replica.state
    if args.command == "digest":
        say(replica.digest().hex())
    elif args.command == "ls":
        for subject in state.list(args.prefix):
            say(subject)
    elif args.command == "get":
        if args.subject not in state.subjects:
            raise Fault("not-found", args.subject)
        say(as_json(state.get(args.subject)))
        for name, others in state.conflicts(args.subject).items():
            say(f"conflict {name} {as_json(others)}")
    elif args.command == "export":
        for subject in state.list(args.prefix):
            if not subject.startswith("~"):
                say(as_json({"subject": subject, **state.export(subject)}))
    elif args.command == "vector":
        for chain, (seq, id) in sorted(replica.vector().items()):
            say(f"{chain.hex()} {seq} {id.hex()}")


def main():
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--data", required=True, help="data folder")
    parser = argparse.ArgumentParser(prog="tidelog")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, help, *arguments):
        sub = commands.add_parser(name, help=help, parents=[shared])
        for argument, options in arguments:
            sub.add_argument(argument, **options)

    one, many = {}, {"nargs": "+"}
    prefix = ("prefix", {"nargs": "?", "default": ""})
    command("join", "pair by a link, and sync", ("link", one), ("--name", {"default": "python"}))
    command("sync", "get and give everything, then end", ("--connect", {"help": "with the node at this origin"}))
    command("follow", "stay connected, and print what comes")
    command("set", "set properties; a value that is JSON is taken as JSON", ("subject", one), ("values", many))
    command("inc", "add to a counter", ("subject", one), ("property", one), ("by", {"type": int}))
    command("add", "add values to a set", ("subject", one), ("property", one), ("values", many))
    command("remove", "remove values from a set", ("subject", one), ("property", one), ("values", many))
    command("rm", "destroy a resource", ("subject", one))
    command("get", "print a resource, and its conflicts", ("subject", one))
    command("ls", "list subjects", prefix)
    command("export", "print resources, one JSON object per line", prefix)
    command("digest", "print the digest of the log")
    command("vector", "print the heads of the chains")
    args = parser.parse_args()

    try:
        store = Store(args.data)
        try:
            run = {"join": join, "sync": sync, "follow": follow}.get(args.command)
            if run:
                asyncio.run(run(store, args))
            elif args.command in ("get", "ls", "export", "digest", "vector"):
                read(store, args)
            else:
                write(store, args)
        finally:
            store.close()
    except Fault as fault:
        note(str(fault))
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


sys.exit(main())
