"""Reasons of what `health` does to nodes: events about nodes, and the conditions of their incidents.

Part of the table in `springtide.api.reasons`.
"""

from __future__ import annotations

from typing import Final

from springtide.api.reasonentries import Group, Reason

_LOOK = "`springtide remediation NODE`"

HEALTH: Final = (
    Group(
        "Node",
        "",
        "What `health` does about a node that is out of order.",
        (
            Reason(
                "NodeCordoned", "It is taken out of service: condition, taint and cordon; pods leave.", _LOOK
            ),
            Reason("NodeReturned", "It is in service again."),
            Reason("NodeHeld", "It stays out until a person has looked at it.", "`kubectl uncordon NODE`"),
            Reason("CordonWithheld", "It stays in service: as many nodes as may be are out already.", _LOOK),
            Reason("WouldCordon", "The policy only reports; nothing was done.", "Set the policy to Enforce."),
        ),
        what="event",
    ),
    Group(
        "RemediationPolicy",
        "Valid",
        "Whether all signatures and budgets that it names exist; the rest of it counts all the same.",
        (
            Reason("Understood", "All that it names is known."),
            Reason("UnknownNames", "The message says which field names what nobody knows.", "Correct it."),
        ),
    ),
    Group(
        "Diagnosis",
        "Withheld",
        "The node of an incident stays in service.",
        (
            Reason(
                "BreakerOpen", "As many nodes as may be are out; it goes out when another returns.", _LOOK
            ),
            Reason("MassSymptom", "Many nodes show the same at once: what they share is to blame."),
            Reason("NotSure", "The verdict is less sure than spec.cordonConfidence.", _LOOK),
        ),
    ),
    Group(
        "Diagnosis",
        "Checked",
        "What a check said of the node that a slow rank made suspected.",
        (
            Reason("KeepsUp", "It is as fast as another one; look at what the rank has to do."),
            Reason("FallsBehind", "It is slow, and has an incident of its own.", _LOOK),
            Reason(
                "CheckGaveUp",
                "No check said anything, however often: the message says why of the last.",
                "See that the image of the checks can be pulled.",
            ),
        ),
    ),
    Group(
        "Diagnosis",
        "Held",
        "The node stays out until a person returns it with `kubectl uncordon`.",
        (
            Reason("TooManyIncidents", "It failed too often within spec.returning.windowSeconds.", _LOOK),
            Reason("RepairFailed", "The repair job, or the external repairer, says that it failed.", _LOOK),
            Reason("RepairTimedOut", "The repair took longer than spec.repair.timeoutSeconds.", _LOOK),
            Reason("CheckFailed", "The check job failed.", _LOOK),
            Reason("CheckTimedOut", "The check took longer than spec.returning.checkTimeoutSeconds.", _LOOK),
            Reason("InvalidTemplate", "The policy's job template cannot be read.", "As the message says."),
        ),
    ),
    Group(
        "Diagnosis",
        "Released",
        "The incident is over without a repair.",
        (
            Reason("TakenOver", "A person returned the node, or it was made anew."),
            Reason("NodeGone", "There is no such node any more."),
        ),
    ),
)
