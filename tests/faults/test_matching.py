"""How lines are judged whatever they hold: never an error, never long, never a node taken out for nothing."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from springtide.api.springtide import Action, Blame
from springtide.faults import (
    CORDON_CONFIDENCE,
    UNKNOWN,
    Example,
    Override,
    Role,
    Secondary,
    catalog,
    judge,
    match,
    worth_keeping,
)
from springtide.faults.catalog import CatalogError, parse
from springtide.faults.matching import LINE_BYTES

EXAMPLES = [
    one if isinstance(one, Example) else Example(line=one)
    for signature in catalog()
    for one in signature.examples
]
XID_79 = "NVRM: Xid (PCI:0000:a1:00): 79, pid='<unknown>', name=<unknown>, GPU has fallen off the bus."
LINES = st.sampled_from([one.line for one in EXAMPLES])
WORDS = st.text(max_size=60) | LINES | st.sampled_from(["\x00", "\udc80", "\n", "é" * 40, "([{.*+?\\", "%s"])


@settings(max_examples=200, deadline=None)
@given(st.lists(WORDS, max_size=5).map("".join), st.lists(WORDS, max_size=4))
def test_any_text_gets_a_verdict_that_takes_no_node_out_without_cause(line: str, context: list[str]) -> None:
    found = judge(line, context)
    if found.action is Action.CORDON_EVICT:
        assert found.secondary is not Secondary.YES
        assert found.blame is not Blame.PROGRAM
        assert found.confidence >= CORDON_CONFIDENCE
    kept = worth_keeping(line)
    assert kept is None or isinstance(kept, str)


@settings(max_examples=100, deadline=None)
@given(LINES, st.integers(min_value=0, max_value=200), st.text(alphabet=" .:[]0123456789TZ", max_size=30))
def test_a_stamp_before_a_line_never_makes_it_another_kind_of_hardware_fault(
    line: str, length: int, stamp: str
) -> None:
    bare, stamped = judge(line), judge(stamp[:length] + " " + line)
    if bare.action is Action.CORDON_EVICT and stamped.action is Action.CORDON_EVICT:
        assert stamped.fault is bare.fault


def test_no_more_of_a_line_is_looked_at_than_a_bound() -> None:
    """RE2 takes linear time, and `test_a_signature_is_well_formed` compiles all; this makes it constant."""
    assert match("x" * (LINE_BYTES - 200) + XID_79) is not None
    assert match("x" * LINE_BYTES + XID_79) is None
    assert worth_keeping("x" * LINE_BYTES + XID_79) is None


def test_a_line_no_signature_knows_blames_nobody_and_does_nothing() -> None:
    found = judge("all is well with step 12")
    assert found == UNKNOWN
    assert (found.blame, found.action) == (Blame.UNKNOWN, Action.IGNORE)
    assert match("all is well with step 12") is None


@pytest.mark.parametrize(
    "line",
    [
        "step 100 loss 2.3456 lr 1e-4 tokens/s 12345 grad_norm 0.987",
        "2026-01-01 10:00:00,000 INFO saved checkpoint to /data/ckpt/step-100 in 3.2 s",
        "epoch 3: accuracy 0.971, validation loss 0.11, 0 errors",
        "Downloading shards: 100%|##########| 12/12 [00:03<00:00, 3.4it/s]",
        "node1:12:34 [0] NCCL INFO Channel 00/04 : 0 1 2 3",
        "Loaded model with 7.2B parameters onto cuda:0",
        "/opt/conda/lib/python3.11/site-packages/x.py:3: UserWarning: this is deprecated",
        "usb 1-1: new high-speed USB device number 4 using xhci_hcd",
        "evaluating on rank 0, other ranks wait",
    ],
)
def test_an_ordinary_line_is_not_worth_keeping(line: str) -> None:
    assert worth_keeping(line) is None


def test_a_site_knows_better_but_never_cordons_for_a_program_or_a_consequence() -> None:
    softer = {"xid_79_gpu_off_bus": Override(action=Action.RESTART_IN_PLACE)}
    found = match(XID_79, overrides=softer)
    assert found is not None
    assert (found.blame, found.action) == (Blame.NODE, Action.RESTART_IN_PLACE)
    harder = {
        "python_exception": Override(action=Action.CORDON_EVICT),
        "nccl_ib_flushed": Override(action=Action.CORDON_EVICT),
        "xid_63_row_remap_recorded": Override(action=Action.CORDON_EVICT),
    }
    program = match("ValueError: too many values to unpack", overrides=harder)
    flushed = match("Got completion from peer 10.0.0.1<5> with status=5 vendor err 249", overrides=harder)
    remapped = match("NVRM: Xid (PCI:0000:a1:00): 63, pid=1, name=x, Row Remapper", overrides=harder)
    assert program is not None
    assert flushed is not None
    assert remapped is not None
    assert program.action is Action.RESTART_IN_PLACE
    assert flushed.action is Action.RESTART_IN_PLACE
    assert remapped.action is Action.CORDON_EVICT


def test_the_nearest_cause_before_a_wrapper_decides() -> None:
    before = ["RuntimeError: CUDA error: uncorrectable ECC error encountered", "ValueError: bad shape"]
    found = match("terminate called after throwing an instance of 'c10::Error'", before)
    assert found is not None
    assert (found.signature, found.wrapper, found.role) == ("python_exception", "native_abort", Role.ROOT)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("about: x\nsignatures: [{name: a}]", "pattern"),
        ("about: x\nsignatures: [{nam: a}]", "nam"),
        ("signatures: []", "about"),
        ("about: [", "signatures/f.yaml"),
    ],
)
def test_a_signature_stated_wrongly_is_refused_with_its_file(text: str, words: str) -> None:
    with pytest.raises(CatalogError, match=words):
        parse(text, "f")
