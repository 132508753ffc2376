"""Values and decisions without input or output: deadlines, risks, reasons, answers, keys."""
