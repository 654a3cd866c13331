#!/usr/bin/env bash
# FiftyOne's Heatmap of floats without a range is taken from 0 to 1, says the class; export_map stretches it.
#
# Versions: fiftyone 1.22.1, numpy 2.4.6, opencv-python-headless 4.14.0.94.
#
# Guess: "If None is provided, [0, 1] will be assumed if map contains floating point values" holds for export_map too:
# a map of 0.2 and 0.4 is written as 51 and 102, one of 0.5 everywhere as 127 or 128.
#
# Seen: without a range export_map goes by the map's own least and greatest value. 0.2 and 0.4 become 0 and 255, what
# is 0.5 everywhere becomes 0 (of 0 divided by 0), and two pictures' greys mean different numbers. With range=[0, 1] it
# is as guessed, but cut off below: 0.4 becomes 102, 0.5 becomes 127.
set -euo pipefail
export FIFTYONE_DO_NOT_TRACK=true
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
export FIFTYONE_DATABASE_DIR="$folder/database"
"${PYTHON:-python3}" -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet --disable-pip-version-check 'fiftyone==1.22.1' 'numpy==2.4.6' 'opencv-python-headless==4.14.0.94'
cd "$folder"
venv/bin/python - <<'PROGRAM'
import sys
import warnings

import cv2
import fiftyone as fo
import numpy as np

warnings.simplefilter("ignore")
MAPS = {"0.2 and 0.4": [[0.2, 0.4]], "0.5 everywhere": [[0.5, 0.5]]}
seen = {}
for name, values in MAPS.items():
    for ends in (None, [0, 1]):
        heatmap = fo.Heatmap(map=np.array(values, np.float32), range=ends)
        heatmap.export_map("map.png")
        seen[name, str(ends)] = cv2.imread("map.png", cv2.IMREAD_UNCHANGED).ravel().tolist()
        print(f"{name}, range={ends}: {seen[name, str(ends)]}")
if seen["0.2 and 0.4", "None"] != [0, 255] or seen["0.2 and 0.4", "[0, 1]"] != [51, 102]:
    sys.exit("no longer so: without a range a map of floats is exported from 0 to 1")
PROGRAM
