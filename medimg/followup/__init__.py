"""Two scans of one patient at two times: registered, their findings paired, what grew and what did not."""
