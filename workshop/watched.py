"""The three checks for the agents of chapters 1 and 2, which call them as plain functions; the lab observes each call.

From chapter 3 on the checks are durable steps, and the agent's server lets the lab observe them.
"""

from lab.observed import observed
from shared import checks

check_eligibility = observed("eligibility")(checks.check_eligibility)
compare_to_standard_rates = observed("cost")(checks.compare_to_standard_rates)
check_fraud = observed("fraud")(checks.check_fraud)
