"""What a line of a log, of the kernel or of a driver means: signatures as data, and who is to blame.

The floor both `node` (which lines are worth keeping) and `health` (what they say) stand on. Pure: reads
nothing but its own data, and that only when the first line is judged.
"""

from springtide.faults.catalog import FAMILIES, CatalogError, catalog, signature_named
from springtide.faults.fault import Fault, Verdict
from springtide.faults.judging import UNKNOWN, judge
from springtide.faults.matching import CORDON_CONFIDENCE, Match, Override, match, overridden, worth_keeping
from springtide.faults.screening import may_hold
from springtide.faults.signature import Example, Role, Secondary, Signature
from springtide.faults.verdicts import VERDICTS

__all__ = [
    "CORDON_CONFIDENCE",
    "FAMILIES",
    "UNKNOWN",
    "VERDICTS",
    "CatalogError",
    "Example",
    "Fault",
    "Match",
    "Override",
    "Role",
    "Secondary",
    "Signature",
    "Verdict",
    "catalog",
    "judge",
    "match",
    "may_hold",
    "overridden",
    "signature_named",
    "worth_keeping",
]
