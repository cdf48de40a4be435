"""`python -m ftgate_ext` is `ftgate`."""

from ftgate_ext.cli import main

if __name__ == "__main__":
    main()
