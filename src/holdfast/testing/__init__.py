"""What tests of Holdfast, and of stores for it, are made of: a clock, a store on dicts, commands, a conformance suite.

Shipped, so that somebody who writes a store can prove it (`conformance`, which needs pytest). Never imported by
anything that runs.
"""

import sys

if "pytest" in sys.modules:
    # So that an assertion of the suite that fails shows its values, as one in a test's own file does.
    sys.modules["pytest"].register_assert_rewrite(f"{__name__}.caller", f"{__name__}.conformance")
