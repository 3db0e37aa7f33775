"""The rules, and nothing else.

Here live the nouns (one module each) and what may happen to them, as functions of values. Never here: I/O, a clock,
randomness, logging, `await`, or an import from anywhere else in Holdfast.

Two kinds of time, both integers in milliseconds, told apart by their names:

- `…_at_ms`: the store's wall clock, what a person reads (epoch milliseconds, UTC);
- `…_due_ms`: service time, in which every deadline runs (see `service_time`).
"""
