"""Shapley values of columns: how far each moves a row's score away from the mean over background rows."""
