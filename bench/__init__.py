"""`make bench`: what Holdfast does in a second, each figure beside a peer or a limit measured in the same run."""
