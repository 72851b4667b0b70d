"""The command `tour`: all agents side by side on one Restate, compared, watched and disturbed."""
