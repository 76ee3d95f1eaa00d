"""``python -m liqsim`` is the command line."""

from liqsim.cli import main

if __name__ == "__main__":
    main(prog_name="liqsim")
