"""Simulate an operator: write the raw files of its systems, and the truth about its leaks and frauds next to them."""

from trueup.simulate.checks import SimulationError
from trueup.simulate.market.profile import PROFILES, Profile
from trueup.simulate.operator import SimulationRequest, SimulationSummary, simulate

__all__ = ["PROFILES", "Profile", "SimulationError", "SimulationRequest", "SimulationSummary", "simulate"]
