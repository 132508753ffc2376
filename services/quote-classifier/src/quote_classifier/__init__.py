"""Which insurers will quote a risk: the project around the two-branch net's first branch."""
