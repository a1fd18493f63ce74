"""Reads a pickle without calling anything but a table of known functions.

What Python's own unpickler would do for a file that is made to harm: grow its memo to the highest index that the file
names, reserve any length that it names, and hash tuples of tuples in 2^n steps. Here a length is compared with what is
left of the file, only plain values become keys, and the steps are counted, so time and memory are bounded by the file's
size. What no table knows becomes a `Foreign`, which is its name and nothing else.

Opcodes: those of protocols 2 to 5 (Python's `pickletools` describes them) that torch.save writes.
"""

import struct
from collections.abc import Callable, Mapping
from typing import Any

MAX_STEPS = 1_000_000  # of one pickle: some 200,000 for VAD with its optimizer's state
PLAIN_KEYS = (str, bytes, bool, type(None))
LONGEST_NAME = 100  # characters of a name that messages repeat
LARGEST_KEY = 2**60  # of an int: above, different ints may hash alike


class Foreign:
    """Something that the tables do not know, or that was made from it."""

    __slots__ = ("name",)

    def __init__(self, name: str):
        self.name = "".join(c if c.isprintable() else "?" for c in name[:LONGEST_NAME])


def load(
    data,
    start: int,
    known: Mapping[tuple[str, str], Any],
    persistent: Callable[[Any], Any],
    most_steps: int = MAX_STEPS,
) -> tuple[Any, int]:
    """(the object of the pickle at byte `start` of `data`, the byte behind it).

    data: bytes or a mapped file. known: {(module, name): what stands for it}; the functions among them are called with
    the pickle's arguments. persistent: turns a persistent id into an object. An object's state is given to its method
    `set_state` if it has one. most_steps: opcodes that it may take. Raises ValueError, LookupError, TypeError, struct.error for what is no such pickle.
    """
    machine = _Machine(data, start, known, persistent, most_steps)
    return machine.run(), machine.at


class _Machine:
    def __init__(self, data, start: int, known: Mapping, persistent: Callable, most_steps: int):
        self.data, self.at, self.known, self.persistent = data, start, known, persistent
        self.most_steps = most_steps
        self.stack: list = []
        self.marks: list[list] = []
        self.memo: dict[int, Any] = {}

    def run(self):
        for _ in range(self.most_steps):
            opcode = self.take(1)
            if opcode == b".":
                return self.stack.pop()
            if opcode not in ACTIONS:
                raise ValueError(f"opcode {opcode!r} of a pickle that torch.save does not write")
            ACTIONS[opcode](self)
        raise ValueError(f"more than {self.most_steps:,} steps to unpickle it")

    def take(self, count: int) -> bytes:
        if not 0 <= count <= len(self.data) - self.at:
            raise ValueError(f"{count} bytes wanted at byte {self.at} of {len(self.data)}")
        self.at += count
        return self.data[self.at - count : self.at]

    def push(self, value) -> None:
        self.stack.append(value)

    def number(self, form: str):
        return struct.unpack(form, self.take(struct.calcsize(form)))[0]

    def line(self) -> str:
        end = self.data.find(b"\n", self.at)
        if end < 0:
            raise ValueError(f"a name without an end at byte {self.at}")
        text = str(self.take(end - self.at), "utf-8")
        self.at += 1
        return text

    def popped(self, count: int) -> list:
        if count > len(self.stack):
            raise IndexError("the stack of the pickle is empty")
        items = self.stack[len(self.stack) - count :]
        del self.stack[len(self.stack) - count :]
        return items

    def marked(self) -> list:
        """What was put on the stack since the last mark."""
        items, self.stack = self.stack, self.marks.pop()
        return items

    def mark(self) -> None:
        self.marks.append(self.stack)
        self.stack = []

    def named(self, module, name) -> None:
        known = self.known.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        self.push(Foreign(f"{module}.{name}") if known is None else known)

    def call(self, arguments) -> None:
        function = self.stack.pop()
        made = function(*arguments) if callable(function) else Foreign(getattr(function, "name", "an object"))
        self.push(made)

    def build(self) -> None:
        state = self.stack.pop()
        if hasattr(self.stack[-1], "set_state"):
            self.stack[-1].set_state(state)

    def extend(self, items: list) -> None:
        target = self.stack[-1]
        if isinstance(target, list):
            target.extend(items)
        elif not isinstance(target, Foreign):
            raise TypeError("items for what is no list")

    def update(self, items: list) -> None:
        target = self.stack[-1]
        if isinstance(target, dict):
            target.update(as_dict(zip(items[::2], items[1::2], strict=True)))
        elif not isinstance(target, Foreign):
            raise TypeError("keys and values for what is no dict")

    def long(self, form: str) -> None:
        self.push(int.from_bytes(self.take(self.number(form)), "little", signed=True))


def as_dict(pairs=()) -> dict:
    """A dict of pairs; keys that are costly to compare are replaced by a `Foreign` each."""
    return {key if _is_plain(key) else Foreign("a key"): value for key, value in pairs}


def _is_plain(key) -> bool:
    return type(key) in PLAIN_KEYS or (type(key) is int and abs(key) < LARGEST_KEY)


def _text(machine: _Machine, form: str) -> None:
    machine.push(str(machine.take(machine.number(form)), "utf-8", "surrogatepass"))


def _text_or_bytes(machine: _Machine, form: str) -> None:
    """A string of Python 2."""
    content = machine.take(machine.number(form))
    try:
        machine.push(str(content, "utf-8"))
    except UnicodeDecodeError:
        machine.push(content)


def _content(machine: _Machine, form: str) -> None:
    machine.push(machine.take(machine.number(form)))


def _get(machine: _Machine, form: str) -> None:
    machine.push(machine.memo[machine.number(form)])


def _put(machine: _Machine, form: str) -> None:
    machine.memo[machine.number(form)] = machine.stack[-1]


def _frozen(machine: _Machine) -> None:
    machine.marked()
    machine.push(Foreign("frozenset"))


def _with(action: Callable, forms: dict[bytes, Any]) -> dict[bytes, Callable[[_Machine], Any]]:
    """{opcode: action with what is the opcode's}."""
    return {opcode: lambda machine, form=form: action(machine, form) for opcode, form in forms.items()}


ACTIONS: dict[bytes, Callable[[_Machine], Any]] = {
    **_with(lambda m, form: m.push(m.number(form)), {b"J": "<i", b"K": "<B", b"M": "<H", b"G": ">d"}),
    **_with(_text, {b"\x8c": "<B", b"X": "<I", b"\x8d": "<Q"}),
    **_with(_text_or_bytes, {b"U": "<B", b"T": "<i"}),
    **_with(_content, {b"C": "<B", b"B": "<I", b"\x8e": "<Q", b"\x96": "<Q"}),
    **_with(_Machine.push, {b"N": None, b"\x88": True, b"\x89": False}),
    **_with(_put, {b"q": "<B", b"r": "<I"}),
    **_with(_get, {b"h": "<B", b"j": "<I"}),
    **_with(lambda m, count: m.push(tuple(m.popped(count))), {b")": 0, b"\x85": 1, b"\x86": 2, b"\x87": 3}),
    b"\x80": lambda m: m.take(1),  # protocol
    b"\x95": lambda m: m.take(8),  # frame
    b"(": _Machine.mark,
    b"0": lambda m: m.stack.pop(),
    b"1": _Machine.marked,
    b"2": lambda m: m.push(m.stack[-1]),
    b"\x8a": lambda m: m.long("<B"),
    b"\x8b": lambda m: m.long("<i"),
    b"]": lambda m: m.push([]),
    b"a": lambda m: m.extend(m.popped(1)),
    b"e": lambda m: m.extend(m.marked()),
    b"l": lambda m: m.push(m.marked()),
    b"t": lambda m: m.push(tuple(m.marked())),
    b"}": lambda m: m.push({}),
    b"s": lambda m: m.update(m.popped(2)),
    b"u": lambda m: m.update(m.marked()),
    b"\x8f": lambda m: m.push(Foreign("set")),
    b"\x90": lambda m: m.extend(m.marked()),
    b"\x91": _frozen,
    b"\x94": lambda m: m.memo.__setitem__(len(m.memo), m.stack[-1]),
    b"c": lambda m: m.named(m.line(), m.line()),
    b"\x93": lambda m: m.named(*m.popped(2)),
    b"R": lambda m: m.call(m.stack.pop()),
    b"\x81": lambda m: m.call(m.stack.pop()),
    b"\x92": lambda m: m.call(m.popped(2)[0]),
    b"b": _Machine.build,
    b"Q": lambda m: m.push(m.persistent(m.stack.pop())),
}
