"""The workshop: one folder for each chapter, with an exercise, its solution and a check."""
