"""Where the tests' files lie, and the public data sets beside a checkout that some tests use where they are there."""

from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
FIXTURES = TESTS / "fixtures"
SHARED = TESTS.parents[1] / "shared" / "data"
