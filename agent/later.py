"""Modules that are imported only when something of them is used.

    with Aside("requests", "pydantic.v1"):
        import library            # its `from requests import Response` costs nothing, and gets a `Later`

Inside the block the named modules are entered in `sys.modules` without being run. A name asked of one is a `Later`,
which stands for it: called, asked for an attribute or made a base class, it runs the module in its place and acts as
the real thing from then on; nothing is an instance of a class whose module has not run. After the block, whoever asks
such a module for a name gets the real one, and every module that holds a `Later` of it is given the real object.
A module that has run before the block is left alone.
"""

from __future__ import annotations

import sys
import threading
from collections import Counter
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType, TracebackType
from typing import TYPE_CHECKING, Any, Union

if TYPE_CHECKING:
    from importlib.abc import Loader, MetaPathFinder
else:  # the import system asks for methods, not for classes, and their module brings a dozen others
    Loader = MetaPathFinder = object

_LOCK = threading.RLock()
_WAITING: dict[str, dict[str, Later]] = {}  # module that has not run -> what was given out of it
_OPEN: Counter[str] = Counter()  # module -> how many blocks that set it aside are under way
# What `typing` asks of everything that stands in an annotation: no reason to run the module.
_ASKED_BY_TYPING = frozenset(("__parameters__", "__typing_subst__", "__typing_unpacked_tuple_args__"))


class Later:
    """A name of a module that has not run yet."""

    def __init__(self, module: ModuleType, name: str) -> None:
        self._module = module
        self._name = name

    def _real(self) -> Any:
        _run(self._module)
        return getattr(self._module, self._name)

    def __repr__(self) -> str:
        return f"<{self._module.__name__}.{self._name}, not imported yet>"

    def __getattr__(self, name: str) -> Any:
        if name in _ASKED_BY_TYPING:
            raise AttributeError(name)
        return getattr(self._real(), name)

    def __call__(self, *args: Any, **options: Any) -> Any:
        return self._real()(*args, **options)

    def __getitem__(self, item: Any) -> Any:
        return self._real()[item]

    def __mro_entries__(self, bases: tuple[Any, ...]) -> tuple[Any, ...]:
        return (self._real(),)

    def __instancecheck__(self, instance: object) -> bool:
        return self._module.__name__ not in _WAITING and isinstance(instance, self._real())

    def __subclasscheck__(self, subclass: type) -> bool:
        return self._module.__name__ not in _WAITING and issubclass(subclass, self._real())

    def __or__(self, other: Any) -> Any:
        return Union[self, other]  # noqa: UP007  # `self | other` is what this defines

    def __ror__(self, other: Any) -> Any:
        return Union[other, self]  # noqa: UP007  # `other | self` is what this defines


class _Module(ModuleType):
    """A module that has not run yet. Only a name that it does not have brings Python here."""

    def __getattr__(self, name: str) -> Any:
        if name == "__path__":  # asked by the import system: this is no package
            raise AttributeError(f"module {self.__name__!r} has no attribute {name!r}")
        with _LOCK:
            names = _WAITING.get(self.__name__)
            if names is not None and _OPEN[self.__name__] and not name.startswith("__"):
                return names.setdefault(name, Later(self, name))
            _run(self)
        return ModuleType.__getattribute__(self, name)


def _run(module: ModuleType) -> None:
    """Run the module in its place, unless it has been, and put what it defines where its `Later`s are."""
    with _LOCK:
        names = _WAITING.pop(module.__name__, None)
        if names is None:  # done, or in the middle of it further up in this thread
            return
        loader = module.__spec__.loader if module.__spec__ is not None else None
        assert loader is not None, "a module that was set aside has been found"
        try:
            loader.exec_module(module)
        except BaseException:
            _WAITING[module.__name__] = names
            raise
        module.__class__ = ModuleType
        given = {id(later): name for name, later in names.items()}
        for holder in list(sys.modules.values()):
            for key, value in list(getattr(holder, "__dict__", {}).items()):
                if id(value) in given:
                    setattr(holder, key, getattr(module, given[id(value)]))


class _Loader(Loader):
    """Enters a module without running it."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return self.real.create_module(spec)

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None, "the import system gives every module its spec"
        module.__spec__.loader = module.__loader__ = self.real
        module.__class__ = _Module
        _WAITING[module.__name__] = {}


class Aside(MetaPathFinder):
    """The block in which the named modules are set aside."""

    def __init__(self, *names: str) -> None:
        self.names = frozenset(names)

    def __enter__(self) -> None:
        sys.meta_path.insert(0, self)
        _OPEN.update(self.names)

    def __exit__(self, kind: type | None, error: BaseException | None, trace: TracebackType | None) -> None:
        _OPEN.subtract(self.names)
        sys.meta_path.remove(self)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if fullname not in self.names:
            return None
        for finder in sys.meta_path:
            spec = finder.find_spec(fullname, path, target) if finder is not self else None
            if spec is not None and spec.loader is not None:
                spec.loader = _Loader(spec.loader)
                return spec
        return None


def forget(*families: str) -> None:
    """Take every module of these packages out of `sys.modules`, so that it is imported afresh."""
    for name in [name for name in sys.modules if name.split(".")[0] in families]:
        del sys.modules[name]
        _WAITING.pop(name, None)
