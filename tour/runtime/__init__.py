"""Running the tour: processes, the Restate server, the agents, and the evidence in journal and ledger."""
