"""Which words does a language model read when it turns a building-code clause into a computer-processable rule?

The names for notebooks; each is imported from its room on first use, so that ``import compliance_xai`` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
