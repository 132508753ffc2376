"""What every test module shares."""

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)  # other work on the machine is no failure of ours
settings.register_profile("thorough", deadline=None, max_examples=25_000)  # make fuzz
settings.load_profile("shared-machine")
