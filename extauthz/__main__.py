"""`python -m extauthz` is the command line."""

from extauthz.cli import main

if __name__ == "__main__":
    main()
