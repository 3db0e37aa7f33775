"""`python -m holdfast`: the same command line as the script `holdfast`."""

from holdfast.doors.cli.main import main

if __name__ == "__main__":
    main()
