"""Build the contact graph: each subscriber has a few regular contacts, some popular numbers, and some strangers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from trueup.simulate.market.numbering import Numbers
from trueup.simulate.market.population import Population
from trueup.simulate.market.profile import Profile
from trueup.simulate.market.random_streams import Stage, stream

STRANGER_SHARE = 0.1


@dataclass(frozen=True)
class Graph:
    """The contacts of each subscriber: `contacts[s]` are numbers, the closest first."""

    contacts: NDArray[np.int32]
    numbers: Numbers

    def peers(self, rng: np.random.Generator, subscriber: NDArray[np.int64]) -> NDArray[np.int64]:
        """Return the peer of each session of `subscriber`: mostly a close contact, sometimes a stranger."""
        slots = self.contacts.shape[1]
        slot = (rng.random(len(subscriber)) ** 2 * slots).astype(np.int64)
        peer: NDArray[np.int64] = self.contacts[subscriber, slot].astype(np.int64)
        strange = rng.random(len(subscriber)) < STRANGER_SHARE
        peer[strange] = self.numbers.strangers(rng, int(strange.sum()))
        return peer


def build_contact_graph(profile: Profile, people: Population, numbers: Numbers, seed: int) -> Graph:
    """Draw every subscriber's contacts: 70 % in the own community, 10 % popular subscribers, 20 % outside the network."""
    rng = stream(seed, Stage.GRAPH)
    count, slots = len(people), profile.contacts
    subscriber = np.arange(count)[:, None]
    low = subscriber // profile.community * profile.community
    size = np.minimum(profile.community, count - low)
    in_community = low + (rng.random((count, slots)) * size).astype(np.int64)
    hubs = (rng.random((count, slots)) ** 4 * people.customers).astype(np.int64)
    outside = numbers.strangers(rng, count * slots).reshape(count, slots)
    draw = rng.random((count, slots))
    contacts = np.where(draw < 0.7, in_community, np.where(draw < 0.8, hubs, outside))
    return Graph(np.where(contacts == subscriber, outside, contacts).astype(np.int32), numbers)
