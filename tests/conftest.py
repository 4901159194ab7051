"""What all tests share: how Hypothesis draws."""

from __future__ import annotations

import os

from hypothesis import settings

# Elsewhere each run looks at new examples; where a change is judged, the same ones every time.
settings.register_profile("judged", derandomize=True, deadline=None)
settings.register_profile("searching", deadline=None)
settings.load_profile("judged" if os.environ.get("CI") else "searching")
