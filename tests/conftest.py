"""Every test runs alike on every machine: Hypothesis is derandomised and has no deadline, because speed is not tested here."""

from hypothesis import settings

settings.register_profile("steady", deadline=None, derandomize=True, database=None)
settings.load_profile("steady")
