"""What `make bench` runs, and the instruments that tests share with it."""

import local  # noqa: F401 - puts the layer on the path, as Lambda would
