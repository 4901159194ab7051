"""Simulate the bills of contracts: lines that bill the usage of several services, invoices, and credit notes."""
