"""Write the raw files, the tariff book and trueup.toml as an operator delivers them."""
