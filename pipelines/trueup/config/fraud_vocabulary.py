"""The numbers about a transaction that fraud rules can compare. A test checks that they are the names of its features."""

from __future__ import annotations

_NAMES = """
is_call is_message is_received units seconds kilobytes hour to_premium to_abroad from_abroad is_short is_free is_roaming
sub_outgoing_1h sub_seconds_1h sub_called_1h sub_premium_1h sub_abroad_1h sub_short_1h sub_received_1h sub_outgoing_24h
sub_seconds_24h sub_called_24h sub_premium_24h sub_abroad_24h sub_short_24h sub_received_24h sub_outgoing_7d sub_seconds_7d
sub_called_7d sub_premium_7d sub_abroad_7d sub_short_7d sub_received_7d sub_ranges_24h sub_cells_24h sub_night_24h
sub_off_hours_24h sub_messages_24h sub_kilobytes_24h sub_free_kilobytes_24h sub_roaming_24h sub_handsets_24h sub_sims_24h
sub_ranges_7d sub_cells_7d sub_night_7d sub_off_hours_7d sub_messages_7d sub_kilobytes_7d sub_free_kilobytes_7d sub_roaming_7d
sub_handsets_7d sub_sims_7d sub_open_4h sub_age_30d sub_handsets_30d peer_from_1h peer_callers_1h peer_rung_1h
peer_short_rings_1h peer_ringing_calls_1h peer_from_24h peer_callers_24h peer_rung_24h peer_short_rings_24h
peer_ringing_calls_24h peer_from_7d peer_callers_7d peer_rung_7d peer_short_rings_7d peer_ringing_calls_7d peer_seconds_24h
pair_count_24h pair_count_30d pair_rung_ago_24h range_from_1h range_numbers_1h range_from_24h range_numbers_24h range_from_7d
range_numbers_7d range_callers_24h range_ringing_calls_24h range_rung_24h range_short_rings_24h range_ringing_24h
range_callers_7d range_ringing_calls_7d range_rung_7d range_short_rings_7d range_ringing_7d range_seconds_24h handset_users_7d
sub_known_frauds_30d peer_known_frauds_30d range_known_frauds_30d sub_premium_share_24h sub_abroad_share_7d sub_called_share_24h
sub_in_out_7d sub_today_share sub_mean_seconds_24h sub_cells_per_call_7d sub_short_share_24h sub_off_hours_share_24h
sub_free_share_24h peer_short_ring_share_24h peer_called_back_share_7d range_short_ring_share_7d range_called_back_share_7d
"""
NUMBERS = frozenset(_NAMES.split())
"""All names. Times are in microseconds, shares from 0 to 1, and facts are 1 or 0."""
TIMES = frozenset({"pair_rung_ago_24h", "sub_age_30d"})
"""The names that are times; a rule writes their limit as a duration."""
