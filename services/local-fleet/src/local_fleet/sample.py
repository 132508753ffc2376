"""Which question does a person ask first? One driver with nearly every answer given, as the README has it."""

from typing import Final

DEV_KEY: Final = "ballpark-dev"

QUESTION: Final = """{
  "risk": {
    "driver": {"age": 34, "licence_years": 12, "licence_type": "full_uk", "employment": "employed", "ncd_years": 6, "home_owner": true},
    "vehicle": {"vehicle_id": "v-00123", "modified": "none"},
    "area": {"sector": "R07-0123"},
    "use": {"annual_mileage": 8000, "class_of_use": "commuting", "overnight": "drive"},
    "cover": {"cover": "comprehensive", "voluntary_excess": 250, "days_to_start": 14},
    "history": {"consent": true, "fault_claims": 0, "non_fault_claims": 0, "conviction": "none", "points": 0, "cancelled_before": false, "unspent_criminal": false}
  }
}"""


def headers(key: str) -> dict[str, str]:
    """What every request of ours carries."""
    return {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}


def curl(port: int, key: str = DEV_KEY) -> str:
    """The command that asks it."""
    options = " ".join(f"-H '{name}: {value}'" for name, value in headers(key).items())
    return f"curl -s http://127.0.0.1:{port}/v1/quotes {options} -d '{QUESTION}'"
