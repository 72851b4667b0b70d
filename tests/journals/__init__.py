"""Journals that each release of the tour has recorded, and their replay on the code of today."""
