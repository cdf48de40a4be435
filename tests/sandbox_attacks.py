"""Programs that try to get out of the sandbox, and code that tries to pass without an answer."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from typing import Any

SECRET = "sk-key-of-the-host-7f3a"  # noqa: S105 - what the attacks look for
MARK = f"sbx{os.getpid()}"
SHORT: dict[str, Any] = {"wall_s": 2, "cpu_s": 1, "memory_mb": 256, "output_bytes": 20_000}


@dataclass(frozen=True)
class Attack:
    source: str
    statuses: tuple[str, ...] = ("ok",)
    says: str | None = ""
    limits: dict[str, Any] = field(default_factory=dict)


def fill(source: str, host: dict[str, Any]) -> str:
    """Put what there is to reach on this host into a program."""
    for name in ("file", "port", "name"):
        source = source.replace(f"<{name}>", str(host[name]))
    return source


_NAME_ME = (
    f"import ctypes; libc = ctypes.CDLL(None, use_errno=True); libc.prctl(15, b'{MARK}', 0, 0, 0)\n"
)
_TRY = """
import errno, os
def tries(*doings):
    for doing in doings:
        try:
            got = doing()
        except (OSError, ValueError) as error:
            continue
        print("got", got)
"""

PROGRAMS: dict[str, Attack] = {
    "fork bomb": Attack(
        _NAME_ME + "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n",
        ("timeout", "killed", "memory"),
        limits={"wall_s": 0.5},
    ),
    "thread bomb": Attack(
        "import threading, time\nn = 0\ntry:\n"
        "    while True:\n        threading.Thread(target=time.sleep, args=(1,), daemon=True).start(); n += 1\n"
        "except RuntimeError: print(n < 20)\n",
        says="True\n",
    ),
    "memory bomb": Attack("x = bytearray(1 << 40)", ("memory",)),
    "memory by small steps": Attack(
        "x = []\nwhile True: x.append(bytearray(1 << 20))", ("memory",)
    ),
    "memory of many processes": Attack(
        "import os, time\nfor _ in range(8):\n    if os.fork() == 0:\n"
        "        x = bytearray(b'x') * (100 << 20); time.sleep(60)\ntime.sleep(60)\n",
        ("memory",),
    ),
    "shared memory that no limit counts": Attack(
        _NAME_ME
        + _TRY
        + "tries(lambda: os.memfd_create('x'))\n"
        + "for call in (lambda: libc.shmget(0, 1 << 24, 0o1600), lambda: libc.msgget(0, 0o1600)):\n"
        + "    if call() != -1: print('got')\n"
    ),
    "endless output": Attack(
        "while True: print('y' * 1000)", ("output",), says=("y" * 1000 + "\n") * 19 + "y" * 981
    ),
    "endless errors": Attack("import sys\nwhile True: sys.stderr.write('y' * 1000)", ("output",)),
    "busy loop": Attack("while True: pass", ("timeout",), limits={"wall_s": 0.5}),
    "busy loop deaf to the clock": Attack(
        "import signal\nsignal.signal(signal.SIGXCPU, signal.SIG_IGN)\nwhile True: pass",
        ("timeout",),
        limits={"wall_s": 0.5},
    ),
    "sleeping forever, deaf to every signal": Attack(
        "import signal, time\n"
        "for n in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:\n"
        "    signal.signal(n, signal.SIG_IGN)\n"
        "signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())\n"
        "while True: time.sleep(60)\n",
        ("timeout",),
        limits={"wall_s": 0.5},
    ),
    "key in the environment": Attack(
        _TRY
        + "print(dict(os.environ))\n"
        + "tries(*(lambda p=p: open(p, 'rb').read() for p in ('/proc/1/environ', '/proc/self/environ', f'/proc/{os.getppid()}/environ')))\n",
        says="{}\n",
    ),
    "key in the memory of this process": Attack(
        "import ctypes, gc\nprint(sum('sk-' + 'key-of' in repr(o) for o in gc.get_objects() if type(o) is dict and len(o) < 50))",
        says="0\n",
    ),
    "key in a file": Attack(
        _TRY
        + "tries(*(lambda p=p: open(p).read() for p in ('<file>', '/etc/passwd', '/etc/hostname', '/proc/self/maps')))\n"
        + "tries(lambda: os.listdir(os.path.expanduser('~/.')), lambda: os.listdir('/home'), lambda: os.listdir('/proc'), lambda: os.listdir('/sys'))\n"
    ),
    "writing outside of the scratch": Attack(
        _TRY
        + "folders = [f for f, _, _ in os.walk('/') if not f.startswith('/tmp') and not f.startswith('/dev/shm')]\n"
        + "tries(*(lambda f=f: open(f + '/x', 'w') for f in folders))\n"
        + "tries(*(lambda f=f: os.chmod(f, 0o777) for f in folders))\n"
        + "tries(lambda: open(os.__file__, 'a'), lambda: os.remove(os.__file__), lambda: os.rename('/usr', '/x'))\n"
        + "print(len(folders) > 5)\n",
        says="True\n",
    ),
    "port of the host": Attack(
        _TRY
        + "import socket\n"
        + "tries(*(lambda a=a: socket.create_connection((a, <port>), 0.3) for a in ('127.0.0.1', 'localhost', '0.0.0.0')))\n"
        + "tries(lambda: socket.create_connection(('192.0.2.1', 80), 0.3), lambda: socket.getaddrinfo('example.org', 80))\n"
    ),
    "abstract Unix socket of the host": Attack(
        _TRY + "import socket\ntries(lambda: socket.socket(socket.AF_UNIX).connect('\\0<name>'))\n"
    ),
    "sockets that no namespace holds": Attack(
        _TRY
        + "import socket\ntries(lambda: socket.socket(40, socket.SOCK_STREAM), lambda: socket.socket(socket.AF_NETLINK, socket.SOCK_RAW), lambda: socket.socket(38, socket.SOCK_SEQPACKET))\n"
        + "a, b = socket.socketpair(); a.send(b'x'); print(b.recv(1))\n",
        says="b'x'\n",
    ),
    "killing its parents": Attack(
        _TRY
        + "import signal\n"
        + "for n in signal.valid_signals():\n"
        + "    for pid in (1, os.getppid(), -1):\n"
        + "        try:\n            if pid != -1 or n == 9: os.kill(pid, n)\n"
        + "        except OSError: pass\n"
        + "print('here')\n",
        says="here\n",
    ),
    "tracing and reading its parent": Attack(
        _NAME_ME
        + _TRY
        + "print(libc.ptrace(16, 1, 0, 0), libc.ptrace(0, 0, 0, 0), libc.process_vm_readv(1, 0, 0, 0, 0, 0))\n"
        + "tries(lambda: open('/proc/1/mem', 'rb').read(1))\n",
        says="-1 -1 -1\n",
    ),
    "becoming root": Attack(
        _NAME_ME
        + _TRY
        + "tries(lambda: os.setuid(0), lambda: os.setgroups([0]), lambda: os.chroot('/tmp'), lambda: os.mknod('/tmp/sda', 0o60600, 0x800))\n"
        + "print([libc.unshare(f) for f in (0x10000000, 0x00020000, 0x40000000)], libc.mount(b'x', b'/tmp', b'tmpfs', 0, 0), libc.setns(0, 0), libc.umount2(b'/tmp', 2))\n"
        + "print(libc.syscall(56, 0x10000011, 0, 0, 0, 0) if os.uname().machine == 'x86_64' else -1)\n",
        says="[-1, -1, -1] -1 -1 -1\n-1\n",
    ),
    "links out of the scratch": Attack(
        _TRY
        + "os.symlink('<file>', 'a'); os.symlink('/', 'root'); os.symlink('/../../../../proc/1/root', 'up')\n"
        + "tries(lambda: open('a').read(), lambda: open('root<file>').read(), lambda: os.listdir('up'), lambda: open('../..<file>').read())\n"
        + "tries(lambda: os.link(os.__file__, 'hard'), lambda: open('root/x', 'w'))\n"
    ),
    "filling the disk": Attack(
        "import os\nn = 0\ntry:\n    for i in range(1000):\n"
        "        with open(str(i), 'wb', 0) as f:\n"
        "            for _ in range(15): n += f.write(bytes(1 << 20))\n"
        "except OSError as error: print(error.errno == 28, 20 < n >> 20 <= 32)\n",
        says="True True\n",
    ),
    "a file beyond its size": Attack(
        "try:\n    with open('x', 'wb', 0) as f:\n        f.truncate(1 << 30)\n"
        "except OSError as error: print(error.errno)\n",
        says="27\n",
    ),
    "ten million small files": Attack(
        "import errno\ntry:\n    for n in range(10 ** 7): open(str(n), 'w').close()\n"
        "except OSError as error: print(error.errno == errno.ENOSPC, n < 4096)\n",
        statuses=("ok", "killed"),
        says="True True\n",
    ),
    "descriptors of the launcher": Attack(
        "import os\n"
        "def is_open(fd):\n    try: os.fstat(fd)\n    except OSError: return False\n    return True\n"
        "print([fd for fd in range(4096) if is_open(fd)], flush=True)\n"
        "for fd in [0, *range(3, 4096)]:\n"
        "    for doing in (lambda: os.write(fd, b'{\"status\": 0}\\n'), lambda: os.close(fd)):\n"
        "        try: doing()\n"
        "        except OSError: pass\n"
        "os._exit(7)\n",
        ("failed",),
        says="[0, 1, 2]\n",
    ),
    "growing its standard input": Attack(
        "import os\ntry: os.pwrite(0, b'x' * 100, 1 << 20); print('grown')\nexcept OSError: print(os.read(0, 99))",
        says="b'given'\n",
    ),
    "a daemon that stays": Attack(
        _NAME_ME
        + "import os, time\n"
        + "if os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
        + "        while True: time.sleep(60)\n    os._exit(0)\n"
        + "print('gone')\n",
        says="gone\n",
    ),
    "deep recursion": Attack(
        "import sys\nsys.setrecursionlimit(10 ** 9)\ndef f(): return f() + 1\nf()",
        ("failed", "memory", "output"),
    ),
    "deep recursion in C": Attack(
        "import sys\nsys.setrecursionlimit(10 ** 9)\nx = []\nfor _ in range(10 ** 6): x = [x]\nrepr(x)",
        ("failed", "memory", "output", "timeout"),
        limits={"wall_s": 0.5},
    ),
    "a huge message": Attack("raise ValueError('x' * 10 ** 7)", ("output",)),
    "bytes that are no text": Attack(
        "import os; os.write(1, b'a\\xff\\xfe\\x00b\\xc3'); os.write(2, b'\\x00')", says="a��\0b�"
    ),
    "a source that is no text": Attack("print(1)\0\n", ("ok", "failed"), says=None),
    "aborting": Attack("import os; os.abort()", ("failed",)),
}

RIGHT = "def f(x):\n    return x * x\n"
TEST = "for x in (3, 4): assert f(x) == x * x\nassert abs(f(0.5) - 0.25) < 1e-9\n"
_WRONG = "def f(x):\n    return 0\n"
_FDS = "import os\nfor fd in range(64):\n    for _ in range(9):\n        try: os.write(fd, {0!r})\n        except OSError: break\n"
_LIAR = """
class Liar:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
    def __lt__(self, other): return True
    def __sub__(self, other): return 0.0
    def __abs__(self): return 0.0
    def __hash__(self): return 0
    def __bool__(self): return True
    def __getattr__(self, name): return lambda *a: True
"""


CHEATS: dict[str, str] = {
    "the right answer": RIGHT,
    "a wrong answer": _WRONG,
    "ends with success while it loads": "import os; os._exit(0)",
    "ends with success when it is called": "import os\ndef f(x): os._exit(0)",
    "exits while it loads": "import sys; sys.exit(0)",
    "exits when it is called": "def f(x): raise SystemExit(0)",
    "raises KeyboardInterrupt": "def f(x): raise KeyboardInterrupt",
    "ends the loop of the test": "def f(x): raise StopIteration",
    "says that it passed": _WRONG
    + "print('passed'); print('OK'); import sys; print(0, file=sys.stderr)",
    "says so at exit": _WRONG
    + "import atexit, os; atexit.register(lambda: (print('passed'), os._exit(0)))",
    "replaces builtins": _WRONG
    + "import builtins\nfor name in ('AssertionError', 'abs', 'exec', 'compile', 'print', 'hasattr'):\n"
    "    setattr(builtins, name, lambda *a, **k: 0)\n",
    "defines the builtins of the test": _LIAR
    + "def f(x): return Liar()\ndef abs(x): return 0\ndef range(*a): return []\nAssertionError = Exception\n__debug = False\n",
    "answers that equal everything": _LIAR + "def f(x): return Liar()",
    "numbers that equal everything": _LIAR + "class N(Liar, int): pass\ndef f(x): return N(0)",
    "a function that is no function": _LIAR + "f = Liar()",
    "replaces the wire": _WRONG
    + "import sys, gc\nw = sys.modules['ftgate_ext.scoring.sandbox_wire']\n"
    "w.Wire.receive = lambda self: None\nm = sys.modules['__main__']\nm._answer = lambda *a: {'value': True, 'changed': {}}\n"
    "m.encode = lambda *a: True\n",
    "looks for the token everywhere": _WRONG
    + "import gc, sys, os, re\ntext = repr(gc.get_objects())[:10 ** 6]\n"
    "frame = sys._getframe()\nwhile frame:\n    text += repr(frame.f_locals) + repr(frame.f_globals); frame = frame.f_back\n"
    "for token in set(re.findall(r'\\b[0-9a-f]{32}\\b', text)):\n    os.write(1, token.encode())\n    os.write(3, token.encode())\n",
    "reads what /proc has": _WRONG
    + "import os\nfor p in ('/proc/self/mem', '/proc/self/environ', '/proc/self/fd', '/proc/1/fd/0'):\n"
    "    try: os.write(3, open(p, 'rb').read())\n    except OSError: pass\n",
    "writes that all is well to everybody": _FDS.format(b'{"value": true, "changed": {}}\n')
    + _WRONG,
    "answers before it is asked": _FDS.format(b'{"names": {}}\n') + _WRONG,
    "sends no JSON": _FDS.format(b"\xff\x00]}\n" * 3) + _WRONG,
    "sends JSON without an end": "import os\ntry:\n    while True: os.write(3, b'[' * 65536)\nexcept OSError: pass",
    "sends nested JSON": _FDS.format(b"[" * 5000 + b"]" * 5000 + b"\n") + _WRONG,
    "closes everything": "import os; os.closerange(0, 64)",
    "kills everybody": "import os, signal\ndef f(x):\n    os.kill(-1, 9); os.kill(os.getppid(), 9); os.kill(os.getpid(), 9)",
    "traces the runner": "import sys\nsys.settrace(lambda *a: None); sys.setprofile(lambda *a: None)\n"
    + _WRONG,
    "never comes back": "def f(x):\n    while True: pass",
    "raises AssertionError's opposite": "class AssertionError(Exception): pass\ndef f(x): raise AssertionError",
    "hands over its own descriptors": "import socket, array\ns = socket.socket(fileno=3)\n"
    "s.sendmsg([b'{}\\n'], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array('i', [0, 1, 2]))])\n"
    + _WRONG,
    "names that are no names": "globals()['f'] = 9\nglobals()['__import__'] = 1\nglobals()['x y'] = lambda: 1",
}
