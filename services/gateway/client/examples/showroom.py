"""In the showroom: a price from few answers for three cars at once, and what to ask next.

BALLPARK_URL=http://127.0.0.1:8080 BALLPARK_KEY=ballpark-dev python examples/showroom.py
"""

import asyncio
import os
import sys

from ballpark_client import AsyncClient, BallparkError
from ballpark_client.api import BallparkAnswer

CARS = ("v-00007", "v-00123", "v-00200")


def show(car: str, answer: BallparkAnswer) -> None:
    """One line for the price, one for the question."""
    price = answer.cheapest
    if price is None:
        print(f"{car}: no price just now ({', '.join(answer.degraded)})")
        return
    band = "" if price.low is None else f", £{price.low:,.0f} to £{price.high:,.0f}"
    print(f"{car}: about £{price.premium:,.0f}{band}")
    for question in (answer.next_questions or ())[:1]:
        print(f"  to be surer by {question.narrows_band_by:.0%}, ask for {question.field}")


async def ask() -> None:
    """All cars at once."""
    async with AsyncClient(os.environ["BALLPARK_URL"], os.environ["BALLPARK_KEY"], budget_s=2) as ballpark:
        async with asyncio.TaskGroup() as group:
            asked = {
                car: group.create_task(ballpark.ballpark({"driver": {"age": 23}, "vehicle": {"vehicle_id": car}}))
                for car in CARS
            }
        for car, task in asked.items():
            show(car, task.result())


def main() -> int:
    """Ask and print; the exit code."""
    code = 0
    try:
        asyncio.run(ask())
    except* BallparkError as errors:
        print(errors.exceptions[0], file=sys.stderr)
        code = 1
    return code


if __name__ == "__main__":
    sys.exit(main())
