"""`python -m medimg`, the same as `medimg`."""

from __future__ import annotations

from medimg.cli import main

if __name__ == "__main__":
    main()
