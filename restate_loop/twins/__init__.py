"""The same agent elsewhere: without Restate, as documented, with remote checks, with programs, for projects."""
