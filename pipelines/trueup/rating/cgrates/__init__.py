"""Tariff plans of CGRateS: CSV folders as rows of a tariff book."""
