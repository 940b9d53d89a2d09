"""The command line: python3 -m tidelog --data DIR COMMAND …"""

import argparse
import asyncio
import base64
import json
import signal
import sqlite3
import sys

from . import ids
from .commit import parse_body
from .errors import Fault
from .link import parse_link
from .run import Runner, open_replica
from .store import Store


def as_json(value):
    """On one line. Bytes have no JSON; they are shown as {"$bytes": base64url}."""

    def plain(value):
        if type(value) is bytes:
            return {"$bytes": base64.urlsafe_b64encode(value).decode().rstrip("=")}
        raise TypeError

    return json.dumps(value, ensure_ascii=False, default=plain, separators=(",", ":"))


def say(text):
    print(text, flush=True)


def note(text):
    print(text, file=sys.stderr, flush=True)


# Commands that connect


async def join(store, args):
    link = parse_link(args.link)
    if store.get("space") not in (None, link.space):
        raise Fault("wrong-space", "this folder holds another space")
    runner = Runner(store, say, note)
    await runner.once(link.addresses, link.device, False, link, args.name)
    report(runner)


async def sync(store, args):
    """With the device that let this one in, or with any member at another origin."""
    runner = Runner(store, say, note)
    runner.replica = open_replica(store, note)
    origins, device = json.loads(store.get("origins")), store.get("remote")
    await runner.once([args.connect] if args.connect else origins, None if args.connect else device, False)
    report(runner)


def report(runner):
    session = runner.session
    say(f"entries {session.entries} new {session.fresh} sent {session.sent}")
    say(f"digest {runner.replica.digest().hex()}")
    say(f"theirs {session.remote.digest.hex()}")


async def run(store, args):
    link = parse_link(args.link)
    runner = Runner(store, say if args.verbose else lambda text: None, note)
    if store.get("space") is not None:
        runner.replica = open_replica(store, note)
    await runner.for_ever(link, args.name)


def until_stopped(coroutine):
    """Runs it until SIGTERM or SIGINT, which end it in good order."""

    async def run():
        task, loop = asyncio.current_task(), asyncio.get_running_loop()

        def stop():
            task.cancel()
            loop.call_later(1, stop)  # a library that waits with wait_for can lose a cancellation

        for each in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(each, stop)
        try:
            await coroutine
        except asyncio.CancelledError:
            pass

    asyncio.run(run())


# Commands that write


def parsed(text):
    try:
        value = json.loads(text)
        json.dumps(value, allow_nan=False)  # NaN and Infinity, which Python takes, are no JSON
        return value
    except ValueError:
        raise Fault("bad-json", text) from None


def write(store, args):
    replica = open_replica(store, note)
    if args.command == "set":
        ops = {"set": {args.property: parsed(args.json)}}
    elif args.command == "inc":
        ops = {"inc": {args.property: args.by}}
    elif args.command in ("add", "remove"):
        ops = {args.command: {args.property: [parsed(each) for each in args.json]}}
    else:
        ops = {"destroy": True}
    entry = replica.commit([[args.subject, ops]])
    say(f"commit {entry.seq} {entry.id.hex()}")


# Commands that read; also beside a `run`


def read(store, args):
    replica = open_replica(store, note)
    state = replica.state
    if args.command == "get":
        say(as_json(state.get(args.subject) or None))
    elif args.command == "conflicts":
        for name, others in state.conflicts(args.subject).items():
            say(f"{name} {as_json(others)}")
    elif args.command == "digest":
        say(replica.digest().hex())
    elif args.command == "ls":
        for subject in state.list(args.prefix):
            say(subject)
    elif args.command == "export":
        for subject in state.list(args.prefix):
            if not subject.startswith("~"):
                say(as_json({"subject": subject, **state.export(subject)}))
    elif args.command == "log":
        for position, chain, seq, _, _, body, _, _, _, device, _ in store.read():
            changes = parse_body(body, chain).changes if body is not None else None
            say(f"{position} {ids.device_id(device)[:7]} {seq} {as_json(changes)}")


CONNECT = {"join": join, "sync": sync, "run": run}
WRITE = ("set", "inc", "add", "remove", "rm")


def arguments():
    parser = argparse.ArgumentParser(prog="tidelog")
    parser.add_argument("--data", required=True, help="data folder")
    commands = parser.add_subparsers(dest="command", required=True)

    def command(name, help, *arguments):
        sub = commands.add_parser(name, help=help)
        for argument, options in arguments:
            sub.add_argument(argument, **options)

    one, many = {}, {"nargs": "+"}
    subject, property, prefix = ("subject", one), ("property", one), ("prefix", {"nargs": "?", "default": ""})
    link, name = ("link", one), ("--name", {"default": "python"})
    verbose = ("--verbose", {"action": "store_true", "help": "say what goes on"})
    command("run", "pair if need be, then follow and serve until stopped", link, name, verbose)
    command("join", "pair by a link, get and give everything, then end", link, name)
    command("sync", "get and give everything, then end", ("--connect", {"help": "with the node at this origin"}))
    command("set", "set a property", subject, property, ("json", one))
    command("inc", "add to a counter", subject, property, ("by", {"type": int}))
    command("add", "add values to a set", subject, property, ("json", many))
    command("remove", "remove values from a set", subject, property, ("json", many))
    command("rm", "destroy a resource", subject)
    command("get", "print a resource as JSON, null if there is none", subject)
    command("conflicts", "print the values that lost, by property", subject)
    command("ls", "list subjects", prefix)
    command("export", "print resources, one JSON object per line", prefix)
    command("log", "print all commits")
    command("digest", "print the digest of the log")
    return parser.parse_args()


def main():
    args = arguments()
    try:
        store = Store(args.data, writes=args.command in CONNECT or args.command in WRITE)
        try:
            if args.command in CONNECT:
                until_stopped(CONNECT[args.command](store, args))
            elif args.command in WRITE:
                write(store, args)
            else:
                read(store, args)
        finally:
            store.close()
    except Fault as fault:
        note(fault.line)
        return 1
    except (OSError, sqlite3.Error) as error:
        note(Fault("store-failed", str(error)).line)
        return 1
    return 0


sys.exit(main())
