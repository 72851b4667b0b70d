"""The workshop: a chapter per folder, each with an exercise, its solution and a check."""
