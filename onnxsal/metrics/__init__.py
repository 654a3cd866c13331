"""Judging a map: functions of maps, masks and scores; they never see a method."""
