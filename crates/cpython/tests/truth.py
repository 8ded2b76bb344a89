"""Builds objects of many kinds, says what the interpreter knows of all its objects, and waits."""

import abc
import array
import asyncio
import collections
import contextvars
import ctypes
import enum
import functools
import gc
import io
import itertools
import queue
import sys
import threading
import types
import weakref

gc.disable()


class Plain:
    def __init__(self, number):
        self.number = number
        self.text = "text %d" % number


class Slots:
    __slots__ = ("first", "second", "__weakref__")


class SlotsAndMore(Slots):
    __slots__ = ("third", "__dict__")


class OfList(list):
    pass


class OfDict(dict):
    __slots__ = ("extra",)


class OfTuple(tuple):
    pass


class OfText(str):
    pass


class OfInt(int):
    pass


class OfException(Exception):
    pass


class Abstract(abc.ABC):
    @abc.abstractmethod
    def method(self):
        pass

    @property
    def value(self):
        return 1

    @classmethod
    def make(cls):
        return cls

    @staticmethod
    def plain():
        return None


class Color(enum.Enum):
    RED = 1
    GREEN = "green"


class Finalized:
    def __del__(self):
        pass


def generator(count):
    kept = ["kept by a generator"]
    for it in range(count):
        yield it, kept


@types.coroutine
def pause():
    yield


async def coroutine():
    held = {"held": "by a coroutine"}
    await pause()
    return held


async def asynchronous():
    yield 1


@functools.lru_cache(maxsize=None)
def cached(number):
    return ["cached", number]


@functools.lru_cache(maxsize=16)
def cached_few(number):
    return ["few", number]


def closure(of):
    def inner(default=of, *, keyword=(of, of)):
        return of, default, keyword

    inner.attribute = [1]
    return inner


def raised():
    try:
        raise OfException("kept", [1, 2])
    except OfException as error:
        return error


LIST = [Plain(it) for it in range(100)]
LIST[0].__dict__["added"] = 1
LIST[1].more = [1]
del LIST[2].number
TUPLES = [(it, "x" * it, None, 1.5) for it in range(50)]
DICT = {"key %d" % it: it for it in range(1000)}
MIXED = {1: "one", -2: "minus two", None: [], False: (), (1, "a"): {}, b"bytes": 3, 2.5: 4, Color.RED: 5, Plain: 6}
SHRUNK = {it: [it] for it in range(100)}
for it in range(0, 100, 3):
    del SHRUNK[it]
EMPTY = [[], {}, (), set(), frozenset(), "", b"", bytearray(), collections.deque()]
SET = {"member %d" % it for it in range(1000)}
SET.discard("member 7")
FROZEN = frozenset(range(1000, 1100))
DEQUE = collections.deque(([it] for it in range(500)), 400)
DEQUE.rotate(33)
ORDERED = collections.OrderedDict((it, [it]) for it in "abcdefgh")
ORDERED.attribute = 5
DEFAULT = collections.defaultdict(list, {"a": [1]})
COUNTER = collections.Counter("hello")
CHAIN = collections.ChainMap({"a": 1}, {"b": 2})
NAMED = collections.namedtuple("NAMED", "x y")(1, [2])
SLOTS = SlotsAndMore()
SLOTS.first, SLOTS.third, SLOTS.anything = [1], {2}, "attribute"
SUBCLASSES = [OfList([1]), OfDict(a=1), OfTuple((1, [2])), OfText("text"), OfInt(12345678901234567890)]
SUBCLASSES[0].attribute = SUBCLASSES[2].attribute = SUBCLASSES[3].attribute = SUBCLASSES[4].attribute = [1]
NUMBERS = [2**it for it in range(0, 200, 7)] + [-(10**30), 1.5, 2j]
TEXTS = ["ascii", "l\xe4tin", "\u4e00\u4e01", "\U0001f600", "x" * 5000, "\ud800"]
TEXTS[1].encode()
GENERATOR = generator(5)
next(GENERATOR)
FRESH = generator(1)
DONE = generator(0)
list(DONE)
COROUTINE = coroutine()
ASYNC_GENERATOR = asynchronous()
COROUTINE.send(None)
for it in range(50):
    cached(it)
    cached_few(it)
CLOSURE = closure(["captured"])
PARTIAL = functools.partial(closure, 1, of=[2])
METHOD = LIST[0].__init__
BUILTIN = LIST.append
EXCEPTION = raised()
WEAK = [weakref.ref(LIST[0]), weakref.ref(LIST[1], print), weakref.WeakValueDictionary(a=LIST[2])]
CONTEXT = contextvars.copy_context()
for it in range(60):
    CONTEXT.run(contextvars.ContextVar("variable %d" % it).set, [it])
LOCAL = threading.local()
LOCAL.value = ["thread local"]
QUEUE = queue.Queue()
QUEUE.put([1])
ARRAY = array.array("d", range(100))
BYTES = [bytes(100), bytearray(100), memoryview(bytearray(b"viewed")), io.BytesIO(b"x" * 100), io.StringIO("text")]
ITERATORS = [iter([1]), iter({1: 2}), zip([1], [2]), map(str, [1]), itertools.chain([1], [2]), itertools.count(), enumerate([1])]
ITERATORS += [iter({1: 2}.items()), reversed([1]), itertools.tee([1, 2]), itertools.cycle([1]), itertools.product([1], [2])]
SLICES = [slice(1, 2), range(5), {}.keys(), {"a": 1}.items(), types.MappingProxyType({"a": 1}), types.SimpleNamespace(a=[1])]
CYCLE = [Plain(1)]
CYCLE[0].cycle = CYCLE
LOST = Plain(2)
LOST.me = LOST
LOST_ID = id(LOST)
del LOST
FINAL = Finalized()
FINAL.me = FINAL
FINAL_ID = id(FINAL)
del FINAL
gc.garbage.append(["in garbage"])
EVENT = threading.Event()


def waits(argument):
    local_of_thread = ["local of a thread", argument]
    EVENT.wait()
    return local_of_thread


THREAD = threading.Thread(target=waits, args=(["argument"],), daemon=True)
THREAD.start()


def type_name(of):
    module = of.__module__
    name = of.__qualname__
    return name if module == "builtins" or not isinstance(module, str) else module + "." + name


def tell(out):
    held_by_main = ["held by the main thread"]
    objects = gc.get_objects()
    own = {id(objects), id(sys._getframe())}
    seen = {id(it) for it in objects}
    tracked = len(objects)
    at = 0
    while at < len(objects):
        it = objects[at]
        try:
            referents = [] if id(it) in own else gc.get_referents(it)
        except Exception:
            referents = []
        try:
            size = sys.getsizeof(it)
        except Exception:
            size = -1
        kind = "type" if isinstance(it, type) else type_name(type(it))
        told = [id(other) for other in referents]
        out.write("%d %d %d %s %s\n" % (id(it), at < tracked, size, kind.replace(" ", "_"), ",".join(map(str, told))))
        for other in referents:
            if id(other) not in seen and id(other) not in own:
                seen.add(id(other))
                if not gc.is_tracked(other):
                    objects.append(other)
        at += 1
    runtime = ctypes.addressof(ctypes.c_char.in_dll(ctypes.pythonapi, "_PyRuntime"))
    del objects, seen, own, it, referents, told, other
    out.write("ready %d %d %d %d\n" % (runtime, sys.hexversion, LOST_ID, FINAL_ID))
    out.flush()
    sys.stdin.read()
    return held_by_main


tell(sys.stdout)
