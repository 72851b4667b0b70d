"""The lab: faults to inject, and a ledger of what ran, in one SQLite file that survives `kill -9`."""
