"""Random numbers keyed by (seed, stream, sample, step): constants, the torch reference, and the
compiled kernel that equals it."""

from twinsplit.noise.reference import Noise, philox, philox_key

__all__ = ["Noise", "philox", "philox_key"]
