"""Advice from published rules on lung nodules: Lung-RADS v2022, Fleischner 2017, the Brock model.

For research use only: not a medical device. Each rule is a pure function of stated facts; where a fact is not known,
the answer is the range over all values it can have.
"""
