"""What every test module shares."""

from hypothesis import settings

settings.register_profile("shared-machine", deadline=None)  # other work on the machine is no failure of ours
settings.load_profile("shared-machine")
