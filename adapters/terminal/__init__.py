"""A chat in the terminal: `chat` for a person at a keyboard, `ask` for command lines, scripts and programs."""
