"""The HTTP interfaces that the offline model speaks: a module for each."""
