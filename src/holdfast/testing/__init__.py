"""What tests of Holdfast, and of stores for it, are made of: a clock, a store on dicts, commands, a conformance suite.

Shipped, so that somebody who writes a store can prove it (`conformance`). Never imported by anything that runs.
"""
