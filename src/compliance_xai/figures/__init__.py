"""A tidy frame -> one figure or table, always by one contract; no test is computed here."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
