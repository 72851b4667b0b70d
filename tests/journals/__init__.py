"""Journals that each release of the tour has recorded, and their replay on today's code."""
