"""Ask every insurer of the panel for one driver and print the five cheapest that will likely quote.

BALLPARK_URL=http://127.0.0.1:8080 BALLPARK_KEY=ballpark-dev python examples/quotes.py
"""

import os
import sys

from ballpark_client import BallparkError, Client
from ballpark_client.api import QuotesAnswer, Risk

RISK: Risk = {
    "driver": {"age": 34, "licence_years": 12, "ncd_years": 6},
    "vehicle": {"vehicle_id": "v-00123"},
    "area": {"sector": "R07-0123"},
    "cover": {"cover": "comprehensive"},
}


def show(answer: QuotesAnswer) -> None:
    """The cheapest first. A half that is missing is None, and `degraded` says why."""
    likely = [row for row in answer.insurers if row.status == "likely" and row.premium is not None]
    for row in sorted(likely, key=lambda row: row.premium or 0.0)[:5]:
        between = "" if row.low is None else f"  ({answer.level:.0%}: £{row.low:,.2f} to £{row.high:,.2f})"
        print(f"{row.insurer}  £{row.premium:,.2f}{between}")
    for path, value in answer.assumed.items():
        print(f"assumed {path}: {value}")
    if answer.degraded or answer.out_of_range:
        print("less sure than usual:", ", ".join([*answer.degraded, *answer.out_of_range]))


def main() -> int:
    """Ask and print; the exit code."""
    with Client(os.environ["BALLPARK_URL"], os.environ["BALLPARK_KEY"], budget_s=2) as ballpark:
        try:
            show(ballpark.quotes(RISK))
        except BallparkError as error:
            print(error, file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
