"""The conformance suite's assertions are rewritten, so that a failure shows its values."""

import pytest

pytest.register_assert_rewrite("holdfast.testing.conformance", "holdfast.testing.caller")
