"""Long proofs of the store and the server: `python -m tests.endurance.<name> --help`.

Each prints one JSON object a row and ends with exit code 1 if anything was wrong; each is replayed by its
seed. Short forms run in the suite (`test_short_forms.py`).
"""
