"""Items of the tariff book that are charged without usage."""
