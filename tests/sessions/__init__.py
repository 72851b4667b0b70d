"""Sessions: the claims of one user, sent by several clients at once under kills, happened in some order."""
