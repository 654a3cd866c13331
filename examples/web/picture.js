// From a photograph to the model's input, pixel for pixel what onnxsal does in Python (Pillow's resampling).

const BITS = 22;
const KERNELS = {
  nearest: null,
  box: [0.5, (x) => (x > -0.5 && x <= 0.5 ? 1 : 0)],
  bilinear: [1, (x) => Math.max(0, 1 - Math.abs(x))],
  hamming: [1, (x) => (x === 0 ? 1 : Math.abs(x) >= 1 ? 0 : Math.sin(Math.PI * x) / (Math.PI * x) * (0.54 + 0.46 * Math.cos(Math.PI * x)))],
  bicubic: [2, cubic],
  lanczos: [3, (x) => (Math.abs(x) < 3 ? sinc(x) * sinc(x / 3) : 0)],
};

const sinc = (x) => (x === 0 ? 1 : Math.sin(Math.PI * x) / (Math.PI * x));

function cubic(x) {
  const a = -0.5, t = Math.abs(x);
  if (t < 1) return ((a + 2) * t - (a + 3)) * t * t + 1;
  return t < 2 ? ((t - 5) * t + 8) * t * a - 4 * a : 0;
}

/** Returns { data: bytes RGB, width, height } of a picture file, upright, on white. Rejects where it is none. */
export async function decode(file) {
  const bitmap = await createImageBitmap(file, { imageOrientation: "from-image", colorSpaceConversion: "none" });
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height);
  const pen = canvas.getContext("2d", { willReadFrequently: true });
  pen.fillStyle = "#fff";
  pen.fillRect(0, 0, bitmap.width, bitmap.height);
  pen.drawImage(bitmap, 0, 0);
  const { data } = pen.getImageData(0, 0, bitmap.width, bitmap.height);
  const rgb = new Uint8Array(data.length / 4 * 3);
  for (let i = 0, j = 0; i < data.length; i += 4) {
    rgb[j++] = data[i]; rgb[j++] = data[i + 1]; rgb[j++] = data[i + 2];
  }
  return { data: rgb, width: bitmap.width, height: bitmap.height };
}

/** Returns { scaled, offset, box }: the photograph's scaled size, the model's picture in it, and in the photograph. */
export function place(photo, size, { fit, crop_fraction, edge, rounding }) {
  const fraction = crop_fraction ?? (fit === "crop" ? 0.875 : 1), torchvision = rounding === "torchvision";
  const whole = (side) => Math.max(1, halfEven(Math.round(side * 1e6) / 1e6));
  const [across, down] = size.map((side) =>
    edge ?? (torchvision ? Math.max(1, Math.floor(side / fraction)) : whole(side / fraction)));
  const own = [photo.width, photo.height], ratios = [across / own[0], down / own[1]];
  let scaled = own;
  if (fit === "cut" || (own[0] === size[0] && own[1] === size[1])) scaled = own;
  else if (fit === "squash") scaled = [across, down];
  else if (fit === "crop" && across === down && (edge || torchvision)) {
    scaled = own.map((side) => Math.floor(across * side / Math.min(...own)));
  } else {
    const ratio = fit === "crop" ? Math.max(...ratios) : Math.min(...ratios);
    scaled = own.map((side) => whole(side * ratio));
  }
  const offset = scaled.map((side, i) => margin(side - size[i], rounding));
  const unit = [photo.width / scaled[0], photo.height / scaled[1]];
  return { scaled, offset, box: [offset[0] * unit[0], offset[1] * unit[1], size[0] * unit[0], size[1] * unit[1]] };
}

function margin(spare, rounding) {
  if (!rounding) return Math.floor(spare / 2);
  return rounding === "torchvision" && spare > 0 ? halfEven(spare / 2) : Math.trunc(spare / 2);
}

function halfEven(x) {
  const low = Math.floor(x);
  return x - low === 0.5 ? low + (low % 2) : Math.round(x);
}

/** Returns the model's picture, bytes RGB of the size [width, height]. */
export function fitted(photo, size, how) {
  const { scaled, offset } = place(photo, size, how);
  const whole = resized(photo, scaled, how.resample ?? "bilinear"), out = new Uint8Array(size[0] * size[1] * 3);
  const padding = how.pad_colour ?? [0, 0, 0];
  for (let y = 0; y < size[1]; y++) {
    for (let x = 0; x < size[0]; x++) {
      const u = x + offset[0], v = y + offset[1], inside = u >= 0 && v >= 0 && u < scaled[0] && v < scaled[1];
      for (let c = 0; c < 3; c++) {
        out[(y * size[0] + x) * 3 + c] = inside ? whole[(v * scaled[0] + u) * 3 + c] : padding[c];
      }
    }
  }
  return out;
}

function resized(photo, [width, height], resample) {
  if (width === photo.width && height === photo.height) return photo.data;
  if (resample === "nearest") return nearest(photo, width, height);
  const across = pass(photo.data, { lines: photo.height, from: photo.width, to: width, step: 3, line: photo.width * 3, out: [3, width * 3] }, resample);
  return pass(across, { lines: width, from: photo.height, to: height, step: width * 3, line: 3, out: [width * 3, 3] }, resample);
}

function nearest(photo, width, height) {
  const out = new Uint8Array(width * height * 3);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      const u = Math.floor((x + 0.5) * photo.width / width), v = Math.floor((y + 0.5) * photo.height / height);
      for (let c = 0; c < 3; c++) out[(y * width + x) * 3 + c] = photo.data[(v * photo.width + u) * 3 + c];
    }
  }
  return out;
}

/** One pass of Pillow's resize, in whole numbers as Pillow has them: bytes in, bytes out. */
function pass(data, { lines, from, to, step, line, out }, resample) {
  if (from === to) return data;
  const [support, kernel] = KERNELS[resample], ratio = from / to, scale = Math.max(ratio, 1);
  const result = new Uint8Array(lines * to * 3);
  for (let i = 0; i < to; i++) {
    const centre = (i + 0.5) * ratio;
    const first = Math.max(0, Math.trunc(centre - support * scale + 0.5));
    const count = Math.min(from, Math.trunc(centre + support * scale + 0.5)) - first;
    const weights = Array.from({ length: count }, (_, k) => kernel((first + k - centre + 0.5) / scale));
    const total = weights.reduce((a, b) => a + b, 0);
    const fixed = weights.map((w) => Math.trunc(w / total * 2 ** BITS + Math.sign(w) * 0.5));
    for (let l = 0; l < lines; l++) {
      for (let c = 0; c < 3; c++) {
        let sum = 2 ** (BITS - 1);
        for (let k = 0; k < count; k++) sum += fixed[k] * data[l * line + (first + k) * step + c];
        result[l * out[1] + i * out[0] + c] = Math.min(255, Math.max(0, Math.floor(sum / 2 ** BITS)));
      }
    }
  }
  return result;
}

/** Returns the values that the model takes for its picture: float32, or bytes where it takes those. */
export function values(picture, { axes, type, channels }, { colour, scale, mean, std }) {
  const pixels = picture.length / 3, out = type === "uint8" ? new Uint8Array(pixels * channels) : new Float32Array(pixels * channels);
  const part = (list, c) => (list.length > 1 ? list[c] : list[0]);
  for (let p = 0; p < pixels; p++) {
    for (let c = 0; c < channels; c++) {
      const level = channels === 1 ? grey(picture, p) : picture[p * 3 + (colour === "BGR" ? 2 - c : c)];
      const place = axes === "NHWC" ? p * channels + c : c * pixels + p;
      out[place] = type === "uint8" ? level : (level * scale - part(mean, c)) / part(std, c);
    }
  }
  return out;
}

const grey = (rgb, p) => (rgb[p * 3] * 19595 + rgb[p * 3 + 1] * 38470 + rgb[p * 3 + 2] * 7471 + 0x8000) >> 16;
