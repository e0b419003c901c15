"""``python -m sparkcider`` is the command ``sparkcider``."""

from sparkcider.cli import main

if __name__ == "__main__":
    raise SystemExit(main())
