"""Requests -> responses: the client, the journal, the lm-eval model and the embedded engine."""
