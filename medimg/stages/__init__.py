"""The steps of a case, each a function and a command: select, preprocess, infer, measure, report."""
