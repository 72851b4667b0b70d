"""The workshop: a folder for each chapter; it imports `tour` and everything below; read README.md first."""
