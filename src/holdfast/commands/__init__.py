"""The use cases: one module per noun, one record per command.

A command says which rows it needs (`needs`) and decides what becomes of them (`decide`), by loading from a View,
calling the domain, and putting back. Pure like the domain: no I/O, no clock, no randomness; those come in through the
View.
"""
