"""The API over HTTP: who asks, what for, and the answer in the form asked for."""
