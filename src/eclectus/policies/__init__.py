"""Policies: translation models behind one interface."""
