"""Watching a released model: have its inputs, its predictions or its hits drifted, at a known rate of false alarms."""
