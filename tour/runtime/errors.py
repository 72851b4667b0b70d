"""Errors for the person at the terminal."""


class TourError(Exception):
    """Ends a command. The command line shows the problem, then the remedy, on one screen."""

    def __init__(self, problem: str, remedy: str) -> None:
        super().__init__(f"{problem}\n{remedy}")
        self.problem = problem
        self.remedy = remedy
