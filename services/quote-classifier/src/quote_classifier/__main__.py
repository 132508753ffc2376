"""`python -m quote_classifier validate|wrangle|train|test|score|sweep --in URL --out URL`."""

import sys

from kit.training.project import main
from quote_classifier.project import PROJECT

if __name__ == "__main__":
    sys.exit(main(PROJECT))
