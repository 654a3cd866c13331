"""The heads of detectors, as text: what stands behind the bundled detector's own boxes and scores in each form.

A text reads values of the bundled detector: ``boxes`` [N, 4, P] (middle and extent in pixels), ``classes`` [N, K, P]
(logits), ``p`` (their sigmoids), ``ways`` [N, 4, P] (to the sides, in strides), ``foreground`` [N, 1, 24, 24] (logits)
and the heads' raw maps ``fine`` and ``coarse``; constants are in CONSTANTS. N is 1 behind NonMaxSuppression. Facts of
the exporters that write such files are in each form's comment.
"""

from __future__ import annotations

import numpy as np

SIZE, GRIDS, BINS, KINDS, POSITIONS = 96, (8, 16), 8, 3, 180
MOST, OVERLAP, LEAST = 20, 0.5, 0.25
"""How many boxes a form puts out at most, the IoU from which boxes are one, and the least score behind NMS."""
VARIANCES = (0.1, 0.2)
"""By which SSD's heads are scaled: middles, extents."""
BACKGROUND = 0.0
"""The logit of no object, in forms with a softmax."""
KEYPOINTS, PROTOTYPES = 5, 6


def anchors() -> np.ndarray:
    """Return the middles of all positions in strides, [2, P]: x, y."""
    sides = [SIZE // stride for stride in GRIDS]
    return np.concatenate([np.stack(np.meshgrid(*[np.arange(n) + 0.5] * 2)).reshape(2, -1) for n in sides], 1)


def strides() -> np.ndarray:
    """Return the positions' strides, [P]."""
    return np.repeat(GRIDS, [(SIZE // stride) ** 2 for stride in GRIDS]).astype(float)


def _float(value: object) -> np.ndarray:
    return np.array(value, np.float32)


def _grid() -> np.ndarray:
    """Return x, y, their squares and one at each of 24 x 24 pixels of the masks, [1, 5, 24, 24], in shares."""
    x, y = np.meshgrid(*[(np.arange(24) + 0.5) / 24] * 2)
    return np.stack([np.ones_like(x), x, y, x * x, y * y])[None]


CONSTANTS: dict[str, np.ndarray] = {
    "half": _float(0.5), "zero": _float(0), "one": _float(1), "two": _float(2), "side": _float(SIZE),
    "far": _float(20), "tiny": _float(1e-3), "nearly": _float(0.999), "few": _float(0.3), "quarter": _float(0.25),
    "pi": _float(np.pi), "four": _float(4), "thick": _float(2),
    "limit": _float([OVERLAP]), "least": _float([LEAST]), "most": np.array([MOST]), "count": np.array(MOST),
    "on": np.array(True), "first": np.array(0), "second": np.array(1), "third": np.array(2), "none": np.array([0]),
    "row0": np.array([0]), "axis1": np.array([1]), "last": np.array([2]), "pairs": np.array([2, 2]),
    "singles": np.array([1, 1, 1, 1]), "fours": np.array([1, 1, 4]), "flipped": np.array([1, 0, 3, 2]),
    "middles": _float(anchors())[None], "strides": _float(strides()), "grid": _float(anchors() - 0.5)[None],
    "priors": _float(anchors() * strides())[None], "prior": _float(4 * strides()),
    "small": _float(VARIANCES[0]), "smaller": _float(VARIANCES[1]),
    "ground": _float(np.full((1, POSITIONS, 1), BACKGROUND)), "empty": np.zeros((0, 6), np.float32),
    "place": _float(_grid()), "dims": np.array([0, 0, -1]), "fine_part": np.array([144, 36]),
    "batch": np.array([0]), "channels": _float(255), "lone": np.array([1]),
}  # fmt: skip

CORNERS = """
    middle, extent = Split <axis = 1> (boxes, pairs)
    reach = Mul (extent, half)
    start = Sub (middle, reach)
    end = Add (middle, reach)
    sides = Concat <axis = 1> (start, end)
    corners = Transpose <perm = [0, 2, 1]> (sides)
    scores = Transpose <perm = [0, 2, 1]> (p)
    logits = Transpose <perm = [0, 2, 1]> (classes)
"""

# Each object once without NonMaxSuppression: a box is beaten by a surer one of its class that overlaps it. So are
# detectors that are trained to say each object once, of which this one is none.
ONCE = (
    CORNERS
    + """
    best = ReduceMax <keepdims = 1> (scores, last)
    label = ArgMax <axis = 2, keepdims = 1> (scores)
    rivals = Transpose <perm = [0, 2, 1]> (best)
    labels_of = Transpose <perm = [0, 2, 1]> (label)
    l, t, r, b = Split <axis = 2> (corners, singles)
    L, T, R, B = Split <axis = 1> (sides, singles)
    lo_x = Max (l, L)
    lo_y = Max (t, T)
    hi_x = Min (r, R)
    hi_y = Min (b, B)
    gap_x = Sub (hi_x, lo_x)
    gap_y = Sub (hi_y, lo_y)
    wide = Relu (gap_x)
    high = Relu (gap_y)
    shared = Mul (wide, high)
    w = Sub (r, l)
    h = Sub (b, t)
    W = Sub (R, L)
    H = Sub (B, T)
    area = Mul (w, h)
    areas = Mul (W, H)
    both = Add (area, areas)
    union = Sub (both, shared)
    iou = Div (shared, union)
    over = Greater (iou, limit)
    same = Equal (label, labels_of)
    surer = Greater (rivals, best)
    near = And (over, same)
    beats = And (near, surer)
    beat = Cast <to = 1> (beats)
    beaten = ReduceMax <keepdims = 1> (beat, last)
    alone = Sub (one, beaten)
"""
)

# Classes of an object times how sure it is that there is one: sigmoid(a) sigmoid(c) is the bundled detector's sigmoid.
OBJECTNESS = """
    flat = Transpose <perm = [0, 2, 1]> (boxes)
    logits = Transpose <perm = [0, 2, 1]> (classes)
    any = ReduceLogSumExp <keepdims = 1> (logits, last)
    a = Add (any, one)
    minus_a = Neg (a)
    ahead = Softplus (minus_a)
    less = Sub (logits, a)
    share = Exp (less)
    left_out = Sub (one, share)
    lost = Log (left_out)
    gained = Sub (ahead, lost)
    c = Add (logits, gained)
    raw = Concat <axis = 2> (a, c)
    sure = Sigmoid (raw)
"""

V5 = OBJECTNESS + "output0 = Concat <axis = 2> (flat, sure)"

YOLOX = (
    OBJECTNESS
    + """
    middle, extent = Split <axis = 1> (boxes, pairs)
    steps = Div (middle, strides)
    within = Sub (steps, grid)
    times = Div (extent, strides)
    power = Log (times)
    both = Concat <axis = 1> (within, power)
    regression = Transpose <perm = [0, 2, 1]> (both)
    output = Concat <axis = 2> (regression, sure)
"""
)

TOP = """
    kept = Mul (best, alone)
    ranked = Squeeze (kept, last)
    top, order = TopK <axis = 1> (ranked, most)
    column = Unsqueeze (order, last)
    four_columns = Tile (column, fours)
    top_boxes = GatherElements <axis = 1> (corners, four_columns)
    top_label = GatherElements <axis = 1> (label, column)
    top_class = Cast <to = 1> (top_label)
    top_score = Unsqueeze (top, last)
"""
END2END = ONCE + TOP + "output0 = Concat <axis = 2> (top_boxes, top_score, top_class)"
MMDEPLOY = (
    ONCE
    + TOP
    + """
    dets = Concat <axis = 2> (top_boxes, top_score)
    labels = Squeeze (top_label, last)
"""
)
EFFICIENT = (
    ONCE
    + TOP
    + """
    det_boxes = Identity (top_boxes)
    det_scores = Identity (top)
    classes_of = Squeeze (top_label, last)
    det_classes = Cast <to = 6> (classes_of)
    enough = Greater (top, least)
    counted = Cast <to = 6> (enough)
    num_dets = ReduceSum <keepdims = 1> (counted, axis1)
"""
)

NMS = (
    CORNERS
    + """
    picked = NonMaxSuppression (corners, p, most, limit, least)
    kind = Gather <axis = 1> (picked, second)
    row = Gather <axis = 1> (picked, third)
    all_boxes = Squeeze (corners, row0)
    box = Gather <axis = 0> (all_boxes, row)
    score = GatherND (p, picked)
"""
)
# NonMaxSuppression over middles and extents; the zoo's YOLOv3: all boxes as y x y x, all scores class by class, and the
# picked indices.
CENTRED = (
    CORNERS
    + """
    flat = Transpose <perm = [0, 2, 1]> (boxes)
    picked = NonMaxSuppression <center_point_box = 1> (flat, p, most, limit, least)
    kind = Gather <axis = 1> (picked, second)
    row = Gather <axis = 1> (picked, third)
    all_boxes = Squeeze (corners, row0)
    box = Gather <axis = 0> (all_boxes, row)
    score = GatherND (p, picked)
"""
)
V3 = (
    CORNERS
    + """
    l, t, r, b = Split <axis = 2> (corners, singles)
    boxes_out = Concat <axis = 2> (t, l, b, r)
    scores_out = Identity (p)
    indices = NonMaxSuppression (boxes_out, scores_out, most, limit, least)
"""
)
COLUMNS = """
    score_column = Unsqueeze (score, axis1)
    kinds = Cast <to = 1> (kind)
    kind_column = Unsqueeze (kinds, axis1)
"""
ROWS = NMS + COLUMNS + "output = Concat <axis = 1> (box, score_column, kind_column)"
CENTRED_ROWS = CENTRED + COLUMNS + "output = Concat <axis = 1> (box, score_column, kind_column)"
V7 = (
    NMS
    + COLUMNS
    + """
    picture = Gather <axis = 1> (picked, none)
    pictures = Cast <to = 1> (picture)
    output = Concat <axis = 1> (pictures, box, kind_column, score_column)
"""
)
PADDLE = (
    NMS
    + COLUMNS
    + """
    double = Concat <axis = 1> (scale_factor, scale_factor)
    turned = Gather <axis = 1> (double, flipped)
    photo_box = Div (box, turned)
    detected = Concat <axis = 1> (kind_column, score_column, photo_box)
    found_rows = Shape <start = 0, end = 1> (detected)
    bbox_num = Cast <to = 6> (found_rows)
"""
)
SORTED = (
    NMS
    + """
    total = Shape (score)
    sorted_score, rank = TopK <axis = 0> (score, total)
    sorted_box = Gather <axis = 0> (box, rank)
    sorted_kind = Gather <axis = 0> (kind, rank)
"""
)
TORCHVISION = (
    SORTED
    + """
    boxes_out = Identity (sorted_box)
    labels = Add (sorted_kind, second)
    scores_out = Identity (sorted_score)
"""
)
TENSORFLOW = (
    SORTED
    + """
    l, t, r, b = Split <axis = 1> (sorted_box, singles)
    yx = Concat <axis = 1> (t, l, b, r)
    shares = Div (yx, side)
    lack = Sub (most, total)
    box_pads = Concat <axis = 0> (none, none, lack, none)
    row_pads = Concat <axis = 0> (none, lack)
    numbers = Add (sorted_kind, second)
    numbers_f = Cast <to = 1> (numbers)
    padded_boxes = Pad (shares, box_pads)
    padded_scores = Pad (sorted_score, row_pads)
    padded_numbers = Pad (numbers_f, row_pads)
    detection_boxes = Unsqueeze (padded_boxes, row0)
    detection_scores = Unsqueeze (padded_scores, row0)
    detection_classes = Unsqueeze (padded_numbers, row0)
    num_detections = Cast <to = 1> (total)
"""
)
IF_EMPTY = (
    NMS
    + COLUMNS
    + """
    total = Size (kind)
    nothing = Equal (total, first)
    output = If <
        then_branch = empty_result () => (float[n, 6] no_rows) { no_rows = Identity (empty) },
        else_branch = some_result () => (float[n, 6] some_rows) {
            some_rows = Concat <axis = 1> (box, score_column, kind_column)
        }
    > (nothing)
"""
)
# Greedy suppression written out: every turn takes the surest box that is left and strikes what overlaps it.
LOOP = (
    CORNERS
    + """
    best = ReduceMax <keepdims = 0> (scores, last)
    label = ArgMax <axis = 2, keepdims = 0> (scores)
    start_of, end_of = Split <axis = 2> (corners, pairs)
    size_of = Sub (end_of, start_of)
    area = ReduceProd <keepdims = 0> (size_of, last)
    rest, turns = Loop <
        body = turn (int64 i, bool go, float[N, P] alive) => (bool still, float[N, P] remaining, float[N, 6] row) {
            still = Identity (go)
            at = ArgMax <axis = 1, keepdims = 1> (alive)
            score = GatherElements <axis = 1> (alive, at)
            column = Unsqueeze (at, last)
            columns = Tile (column, fours)
            taken = GatherElements <axis = 1> (corners, columns)
            kind = GatherElements <axis = 1> (label, at)
            mine = GatherElements <axis = 1> (area, at)
            taken_start, taken_end = Split <axis = 2> (taken, pairs)
            lo = Max (start_of, taken_start)
            hi = Min (end_of, taken_end)
            gap = Sub (hi, lo)
            common = Relu (gap)
            shared = ReduceProd <keepdims = 0> (common, last)
            sum = Add (area, mine)
            union = Sub (sum, shared)
            iou = Div (shared, union)
            over = Greater (iou, limit)
            same = Equal (label, kind)
            struck = And (over, same)
            remaining = Where (struck, zero, alive)
            flat_box = Squeeze (taken, axis1)
            kind_f = Cast <to = 1> (kind)
            row = Concat <axis = 1> (flat_box, score, kind_f)
        }
    > (count, on, best)
    output = Transpose <perm = [1, 0, 2]> (turns)
"""
)

SHARES = """
    shares = Div (boxes, side)
    inner = Clip (shares, tiny, nearly)
    outer = Sub (one, inner)
    odds = Div (inner, outer)
    raw_boxes = Log (odds)
    sure_boxes = Sigmoid (raw_boxes)
    normalised = Transpose <perm = [0, 2, 1]> (sure_boxes)
    penalty = Mul (beaten, far)
    said = Sub (logits, penalty)
"""
DETR = ONCE + SHARES + "pred_boxes = Identity (normalised)\nlogits_out = Identity (said)"
DETR_SOFTMAX = (
    ONCE
    + SHARES
    + """
    pred_boxes = Identity (normalised)
    nobody = Mul (best, zero)
    no_object = Add (nobody, ground)
    logits_out = Concat <axis = 2> (said, no_object)
"""
)
RTDETR = ONCE + SHARES + "said_p = Sigmoid (said)\noutput0 = Concat <axis = 2> (normalised, said_p)"

SSD = (
    CORNERS
    + """
    away = Sub (middle, priors)
    relative = Div (away, prior)
    loc_xy = Div (relative, small)
    times = Div (extent, prior)
    power = Log (times)
    loc_wh = Div (power, smaller)
    locations = Concat <axis = 1> (loc_xy, loc_wh)
    loc_a, loc_b = Split <axis = 1> (locations, pairs)
    moved = Mul (loc_a, small)
    scaled = Mul (moved, prior)
    centre = Add (scaled, priors)
    grown = Mul (loc_b, smaller)
    factor = Exp (grown)
    size = Mul (factor, prior)
    radius = Mul (size, half)
    from = Sub (centre, radius)
    to = Add (centre, radius)
    ssd_sides = Concat <axis = 1> (from, to)
    ssd_shares = Div (ssd_sides, side)
    boxes_out = Transpose <perm = [0, 2, 1]> (ssd_shares)
    best = ReduceMax <keepdims = 1> (scores, last)
    nobody = Mul (best, zero)
    ground_logit = Add (nobody, ground)
    with_ground = Concat <axis = 2> (ground_logit, logits)
    scores_out = Softmax <axis = 2> (with_ground)
"""
)
V4 = (
    CORNERS
    + """
    shares = Div (corners, side)
    boxes_out = Unsqueeze (shares, last)
    confs = Identity (scores)
"""
)
LEVELS = (
    CORNERS
    + """
    ways_rows = Transpose <perm = [0, 2, 1]> (ways)
    score_8, score_16 = Split <axis = 1> (scores, fine_part)
    bbox_8, bbox_16 = Split <axis = 1> (ways_rows, fine_part)
"""
)
RAW = "output0 = Identity (fine)\noutput1 = Identity (coarse)"

# A mask is a sum of prototypes: the trained foreground, and a round hill in the box, which is 1, x, y, x2 and y2 with
# coefficients of the box. Keypoints are the box's middle and corners; the angle means nothing on the picture.
SEGMENT = """
    shares = Div (boxes, side)
    wider = Max (shares, tiny)
    middle, extent = Split <axis = 1> (wider, pairs)
    reach = Mul (extent, half)
    reach2 = Mul (reach, reach)
    steep = Reciprocal (reach2)
    slope = Mul (middle, steep)
    slopes = Mul (slope, two)
    bulge = Mul (middle, slope)
    height = ReduceSum <keepdims = 1> (bulge, axis1)
    base = Sub (two, height)
    down = Neg (steep)
    hill = Concat <axis = 1> (base, slopes, down)
    steep_hill = Mul (hill, two)
    none_of = Mul (base, zero)
    whole = Add (none_of, one)
    output0 = Concat <axis = 1> (boxes, p, whole, steep_hill)
    nowhere = Mul (foreground, zero)
    everywhere = Add (nowhere, place)
    output1 = Concat <axis = 1> (foreground, everywhere)
"""
POSE = """
    middle, extent = Split <axis = 1> (boxes, pairs)
    reach = Mul (extent, half)
    start = Sub (middle, reach)
    end = Add (middle, reach)
    x0, y0 = Split <axis = 1> (start, single_pair)
    x1, y1 = Split <axis = 1> (end, single_pair)
    seen = ReduceMax <keepdims = 1> (p, axis1)
    output0 = Concat <axis = 1> (boxes, p, middle, seen, x0, y0, seen, x1, y0, seen, x1, y1, seen, x0, y1, seen)
"""
OBB = """
    left, top, right, bottom = Split <axis = 1> (ways, singles)
    lean = Sub (left, right)
    little = Mul (lean, few)
    turned = Sigmoid (little)
    moved = Sub (turned, quarter)
    angle = Mul (moved, pi)
    output0 = Concat <axis = 1> (boxes, p, angle)
"""
CONSTANTS["single_pair"] = np.array([1, 1])
