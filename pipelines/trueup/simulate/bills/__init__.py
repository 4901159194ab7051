"""Bills of contracts: one line for the usage of several services, and the invoices and credit notes that have the charges."""
