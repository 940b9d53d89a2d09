"""What the tests share: real nodes and this peer's command line in processes of their own, and counting."""

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
from pathlib import Path
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import Request, urlopen

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
ENV = {**os.environ, "PATH": f"{ROOT}/node_modules/.bin:{os.environ['PATH']}", "PYTHONPATH": str(HERE)}
ENV.pop("TIDELOG_DATA", None)
passed = 0


def check(what, got, expected=True):
    global passed
    if got != expected:
        raise AssertionError(f"{what}\n  got      {str(got)[:600]}\n  expected {str(expected)[:600]}")
    passed += 1
    print(f"ok {passed} {what}", flush=True)


def main(test):
    """Runs a test in a folder of its own; the exit code."""
    temp = Path(tempfile.mkdtemp(prefix="tidelog-python-"))
    try:
        test(temp)
    except Exception as error:
        if not isinstance(error, AssertionError):
            traceback.print_exc(file=sys.stdout)
        print(f"FAILED {error}\n{passed} passed, 1 failed")
        for log in temp.glob("*.log"):
            print(f"--- the end of {log.name}\n{log.read_text()[-2000:]}")
        return 1
    finally:
        for each in list(running):
            each.stop()
        shutil.rmtree(temp, ignore_errors=True)
    print(f"{passed} passed")
    return 0


running = []  # processes that are stopped at the end, however it comes


def node(folder, *args):
    done = subprocess.run(
        ["node", "bin/tidelog.js", *args, "--data", folder], cwd=ROOT, env=ENV, capture_output=True, text=True
    )
    if done.returncode:
        raise AssertionError(f"node {args[0]}: {done.stdout}{done.stderr}")
    return done.stdout


def python(folder, *args, fails=None):
    done = subprocess.run(
        [sys.executable, "-m", "tidelog", "--data", folder, *args], env=ENV, capture_output=True, text=True, timeout=120
    )
    if fails:
        return done.returncode == 1 and fails in done.stderr
    if done.returncode:
        raise AssertionError(f"python {args[0]}: {done.stdout}{done.stderr}")
    return done.stdout


class Run:
    """`run LINK`, in a process of its own."""

    def __init__(self, folder, link, *args):
        self.out = open(f"{folder}.log", "a")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tidelog", "--data", str(folder), "run", link, "--verbose", *args],
            env=ENV, stdout=self.out, stderr=self.out,
        )  # fmt: skip
        running.append(self)

    @property
    def text(self):
        return Path(self.out.name).read_text()

    def kill(self):
        self.process.kill()
        self.process.wait(10)

    def stop(self):
        """The exit code after SIGTERM."""
        if self in running:
            running.remove(self)
        self.process.terminate()
        code = self.process.wait(20)
        self.out.close()
        return code


def same_states(what, folder, *nodes):
    """`export` of this peer and of nodes, line by line."""
    own = [json.loads(line) for line in python(folder, "export").splitlines()]
    for each in nodes:
        theirs = [json.loads(line) for line in each("export").splitlines()]
        check(what, [line for line in own if line not in theirs] + [line for line in theirs if line not in own], [])
        check(f"{what}, in the same order", own == theirs)


def counts(output):
    """What `sync` and `join` say at their end."""
    line = re.search(r"entries (\d+) new (\d+) sent (\d+)", output)
    digests = re.findall(r"^(?:digest|theirs) ([0-9a-f]{64})$", output, re.M)
    return tuple(map(int, line.groups())), digests


def until(what, test, seconds=60):
    end = time.monotonic() + seconds
    while not test():
        if time.monotonic() > end:
            raise AssertionError(f"{what}: not within {seconds} s")
        time.sleep(0.1)
    check(what, True)


class Node:
    def __init__(self, folder, name, new=True):
        self.folder, self.process = str(folder), None
        if new:
            node(self.folder, "init", "--name", name)
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            self.port = probe.getsockname()[1]
        self.origin = f"http://127.0.0.1:{self.port}"

    def start(self, *more):
        self.log = open(self.folder + ".log", "a")
        self.process = subprocess.Popen(
            ["node", "bin/tidelog.js", "start", "--port", str(self.port), "--log", "json", "--data", self.folder, *more],
            cwd=ROOT, env=ENV, stdout=self.log, stderr=self.log,
        )  # fmt: skip
        running.append(self)
        for _ in range(300):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            time.sleep(0.1)
        raise AssertionError("the node did not start")

    def stop(self):
        if self in running:
            running.remove(self)
        if self.process:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def __call__(self, *args):
        return node(self.folder, *args)

    def json(self, *args):
        return json.loads(self(*args, "--json"))

    def get(self, subject):
        """Over HTTP, for a node that runs: each command is a process of half a second."""
        url = f"{self.origin}/v1/resources/{quote(subject, safe='')}"
        token = Path(self.folder, "token").read_text().strip()
        try:
            with urlopen(Request(url, headers={"authorization": f"Bearer {token}"}), timeout=10) as answer:
                return json.load(answer)
        except (HTTPError, URLError):
            return None

    def invite(self, role="writer"):
        return self.json("pair", "invite", "--no-wait", "--role", role)["link"]
