"""How hard Hypothesis tries: moderately and repeatably by default, HYPOTHESIS_PROFILE=thorough before a release."""

import os

from hypothesis import HealthCheck, settings

_COMMON = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow, HealthCheck.data_too_large]}
settings.register_profile("moderate", max_examples=40, derandomize=True, database=None, **_COMMON)
settings.register_profile("thorough", max_examples=600, **_COMMON)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "moderate"))
