"""Faults beyond a `kill -9`: on real servers and agents, with the same question each time: is anything lost?"""
