"""Request ceilings: who asks for more than the site allows without a word waits until somebody approves.

An admission check like any other, made by this program: `AdmissionCheck` with the controller
`springtide.dev/request-ceiling`, whose parameters name a `RequestCeiling`.
"""

from springtide.ceilings.controller import ROOM as ROOM
from springtide.ceilings.controller import register as register
