// The boxes of a detector: read from its output, and laid over the photograph as buttons.

/** With more boxes than these the tag of one shows where it is chosen, pointed at or focused. */
const LABELLED = 12;

/** Returns what a file's output `detections`, [D, 7], says of its first picture, best first. */
export function detections({ data, dims }) {
  const rows = Array.from({ length: dims[0] }, (_, i) => [...data.slice(i * 7, i * 7 + 7)].map(Number));
  return rows.filter(([picture]) => picture === 0)
    .map(([, left, top, right, bottom, score, index], i) => ({ number: i + 1, box: [left, top, right, bottom], score, index }));
}

/** Returns a box of the model's picture, size [width, height], in pixels of the photograph, in which that lies at `seen`. */
export function onPhoto([left, top, right, bottom], [x, y, width, height], size) {
  const across = (n) => x + n / size[0] * width, down = (n) => y + n / size[1] * height;
  return [across(left), down(top), across(right), down(bottom)];
}

/** Returns the part of a box that lies on a photograph, in percent of its sides; null where none does. */
export function shares([left, top, right, bottom], { width, height }) {
  const within = (n, side) => Math.min(100, Math.max(0, n / side * 100));
  const [l, t, r, b] = [within(left, width), within(top, height), within(right, width), within(bottom, height)];
  return r > l && b > t ? { left: l, top: t, width: r - l, height: b - t } : null;
}

/** Returns whether a file lets one choose a detection, by what it says of its target; `all` are those of the picture. */
export function choosable(detection, target, all) {
  if (target?.box === "input") return target.label === undefined || target.label === detection.index;
  return target === "input" && all.find(({ index }) => index === detection.index) === detection;
}

/** Returns a button for every detection that lies on the photograph, the small ones on top of the large ones. */
export function buttons(all, { chosen, named, placed, open, choose }) {
  const laid = all.map((detection, at) => ({ detection, at, share: placed(detection) })).filter(({ share }) => share);
  laid.sort((a, b) => b.share.width * b.share.height - a.share.width * a.share.height);
  return laid.map(({ detection, at, share }) => {
    const button = document.createElement("button"), tag = document.createElement("span");
    tag.textContent = named(detection);
    button.append(tag);
    button.type = "button";
    button.ariaLabel = tag.textContent;  // said where the tag is hidden, too
    button.className = ["box", share.top < 8 ? "under" : "", all.length > LABELLED ? "many" : ""].join(" ").trim();
    button.ariaPressed = String(at === chosen);
    button.disabled = at !== chosen && !open(detection);
    for (const [side, value] of Object.entries(share)) button.style[side] = `${value}%`;
    button.addEventListener("click", () => choose(at));
    return button;
  });
}
