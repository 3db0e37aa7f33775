"""The engine: gathers commands, decides a batch of them in one transaction, and answers once it is committed."""
