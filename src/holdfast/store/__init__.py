"""The stores: where rows live. They load, look up and save what they are told, and know no rule."""
