"""The benchmark: what durability costs, how it grows, what a start takes, and what the peers do.

All in one run on one machine; the raw figures are kept.
"""
