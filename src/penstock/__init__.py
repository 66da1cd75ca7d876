"""`async def call(request) -> response` is a Call; penstock sets how much flows through it."""

# Not that of typing, which takes a while to import.
TYPE_CHECKING = False

if TYPE_CHECKING:
    from .public import *  # noqa: F403
    from .public import __all__ as __all__
    from .public import __version__ as __version__
else:

    def __getattr__(name: str) -> object:
        # Later, so that the command can be interrupted with one line before a third of its imports is over.
        import importlib as _importlib

        public = _importlib.import_module(".public", __name__)
        # The modules that came with it are there now, too.
        if name in globals():
            return globals()[name]
        found = getattr(public, name)
        if name in public.__all__ or name == "__all__":
            globals()[name] = found
            return found
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__getattr__("__all__")})


del TYPE_CHECKING
