"""Errors that a person meets: what is wrong, and what to do about it."""


class TourError(Exception):
    """Ends the tour with one screen: the problem, then the remedy."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem = problem
        self.remedy = remedy
