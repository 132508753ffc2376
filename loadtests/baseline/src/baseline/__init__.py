"""The same two models, answered from one process without a network: what the fleet is measured against."""
