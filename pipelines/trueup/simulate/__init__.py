"""A simulated operator: raw files as its systems would drop them, and beside them the truth about what leaks."""

from trueup.simulate.checks import SimulationError
from trueup.simulate.market.profile import PROFILES, Profile
from trueup.simulate.operator import SimulationSummary, simulate

__all__ = ["PROFILES", "Profile", "SimulationError", "SimulationSummary", "simulate"]
