"""Policies: the rules that decide findings, declared in the log from a position on."""
