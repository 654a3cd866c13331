// The map over the photograph: opacity follows the map, and where it is low the photograph fades.

const SEQUENTIAL = [
  [0, 0, 4], [10, 7, 34], [30, 12, 69], [56, 9, 98], [81, 14, 108], [105, 22, 110],
  [128, 31, 108], [152, 39, 102], [176, 49, 91], [198, 61, 77], [217, 77, 61], [233, 97, 43],
  [244, 121, 24], [250, 148, 7], [252, 176, 20], [248, 205, 55], [242, 234, 105], [252, 255, 164],
];
const DIVERGING = [
  [0, 18, 97], [2, 42, 112], [3, 65, 127], [8, 89, 143], [37, 117, 161], [81, 148, 182],
  [128, 178, 202], [176, 207, 222], [222, 230, 233], [238, 219, 208], [228, 190, 168], [215, 160, 129],
  [204, 133, 93], [192, 107, 58], [175, 76, 24], [143, 43, 6], [115, 20, 6], [89, 0, 8],
];
const FADED = 0.45, DARKER = 0.88, UNSEEN = 0.45, LIFTED = 0.8;

/** Returns ImageData of a photograph { data RGBA, width, height } with a map over its box [left, top, width, height]. */
export function drawn(photo, map, box, opacity) {
  const out = new ImageData(photo.width, photo.height), table = map.signed ? DIVERGING : SEQUENTIAL;
  for (let y = 0; y < photo.height; y++) {
    for (let x = 0; x < photo.width; x++) {
      const at = (y * photo.width + x) * 4, u = (x + 0.5 - box[0]) / box[2], v = (y + 0.5 - box[1]) / box[3];
      const inside = u >= 0 && v >= 0 && u < 1 && v < 1;
      mix(out.data, photo.data, at, inside ? look(map, u, v) : null, { table, signed: map.signed, opacity });
    }
  }
  return out;
}

function mix(out, photo, at, level, { table, signed, opacity }) {
  const strength = level === null ? 0 : Math.abs(level), grey = 0.299 * photo[at] + 0.587 * photo[at + 1] + 0.114 * photo[at + 2];
  const calm = Math.min(1, opacity * 2), share = opacity * strength ** LIFTED;
  for (let c = 0; c < 3; c++) {
    const faint = level === null ? grey * UNSEEN : (photo[at + c] + (grey - photo[at + c]) * FADED) * DARKER;
    const shown = photo[at + c] + (faint - photo[at + c]) * (1 - strength) * calm;
    out[at + c] = level === null ? shown : shown + (colour(table, signed ? (level + 1) / 2 : level, c) - shown) * share;
  }
  out[at + 3] = 255;
}

function colour(table, share, c) {
  const place = Math.min(1, Math.max(0, share)) * (table.length - 1), low = Math.min(table.length - 2, Math.floor(place));
  return table[low][c] + (table[low + 1][c] - table[low][c]) * (place - low);
}

function look({ data, width, height }, u, v) {
  const x = Math.min(width - 1, Math.max(0, u * width - 0.5)), y = Math.min(height - 1, Math.max(0, v * height - 0.5));
  const l = Math.floor(x), t = Math.floor(y), r = Math.min(width - 1, l + 1), b = Math.min(height - 1, t + 1);
  const upper = data[t * width + l] + (data[t * width + r] - data[t * width + l]) * (x - l);
  const lower = data[b * width + l] + (data[b * width + r] - data[b * width + l]) * (x - l);
  return upper + (lower - upper) * (y - t);
}
