"""Access of user queries: the tables that they may read, and the resources that they may use."""
