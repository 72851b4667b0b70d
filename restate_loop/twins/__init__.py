"""The same agent elsewhere: without Restate, as documented, with its checks as services, with programs as tools."""
