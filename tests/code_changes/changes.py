"""The table of code changes."""

from __future__ import annotations

from tests.code_changes.quiet import QUIET
from tests.code_changes.requests import MODELS, PROMPTS
from tests.code_changes.schemas import SCHEMAS
from tests.code_changes.settings import GUARDS, LIMITS, MORE_GUARDS, RETRIES

CHANGES = [*PROMPTS, *MODELS, *SCHEMAS, *RETRIES, *GUARDS, *MORE_GUARDS, *LIMITS, *QUIET]
