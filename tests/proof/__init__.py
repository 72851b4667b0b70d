"""Proofs that the promise holds, at sizes that the other tests do not reach."""
