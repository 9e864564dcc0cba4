"""twinsplit: train a diffusion model on disjoint halves of the data and find the step at which the twins part.

The public names stand in __init__.pyi; each is imported when it is first used (SPEC 1), so that `import twinsplit` costs nothing.
"""

import lazy_loader

__version__ = "0.1.0"
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
