"""At what premium each insurer will quote a risk: the project around the two-branch net's second branch."""
