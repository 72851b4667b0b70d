"""The lab: faults to inject, and a ledger of every run of a step, in one SQLite file that survives `kill -9`."""
