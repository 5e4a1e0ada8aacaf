"""How long an example takes says nothing of what is tested, on machines that differ."""

from hypothesis import settings

settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
