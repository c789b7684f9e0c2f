"""Environments: small decision problems with Gymnasium's interface, to learn and to teach on."""

SUPPORT = {"phrase_table"}
