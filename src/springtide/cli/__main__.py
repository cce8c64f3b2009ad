"""`python -m springtide.cli`: what `springtide up --detach` starts, whatever is first on PATH."""

from springtide.cli import main

main()
