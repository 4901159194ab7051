"""Charges without usage: what subscriptions and the tariff book lead to expect, against charges of the item."""
