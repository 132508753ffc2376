"""`python -m premium_regressor validate|wrangle|train|test|score|sweep --in URL --out URL`."""

import sys

from kit.training.project import main
from premium_regressor.project import PROJECT

if __name__ == "__main__":
    sys.exit(main(PROJECT))
