"""`python -m recsys` is the command `recsys`."""

from recsys.cli.main import app

if __name__ == "__main__":
    app(prog_name="recsys")
