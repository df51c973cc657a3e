"""Lets `python -m kdistill` run the command line."""

from kdistill.cli import main

if __name__ == "__main__":
    main()
