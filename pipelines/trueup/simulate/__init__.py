"""A simulated operator: raw files as its systems would drop them, and beside them the truth about what leaks."""

from trueup.simulate.checks import SimulationError
from trueup.simulate.operator import SimulationSummary, simulate
from trueup.simulate.profile import PROFILES, Profile

__all__ = ["PROFILES", "Profile", "SimulationError", "SimulationSummary", "simulate"]
