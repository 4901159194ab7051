"""Raw files, the tariff book and trueup.toml as the operator would deliver them."""
