"""Sessions: the claims of one user, from several clients at once and under kills, happened in some order."""
