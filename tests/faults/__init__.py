"""Faults beyond a `kill -9`, on real servers and agents: is anything lost?"""
