// The page: which picture, which model, which class; what is drawn.
import { Wrong, describe } from "./compiled.js";
import { drawn } from "./drawing.js";
import { decode, fitted, place, values } from "./picture.js";
import * as runner from "./runner.js";

const LARGEST = 1200, SMALLEST = 760, SHOWN = 5;
const byId = (id) => document.getElementById(id);
const state = { model: null, photo: null, scores: null, target: null, map: null, shown: null, turn: 0 };
const ready = { started: 0 };
let queue = Promise.resolve();

// What comes in

/** One thing after the other; what fails is said. */
function todo(work) {
  queue = queue.then(work).catch(say);
  return queue;
}

async function take(files) {
  clear();
  ready.started = performance.now();
  for (const file of [...files].sort((a, b) => isModel(b) - isModel(a))) await (isModel(file) ? takeModel(file) : takePhoto(file));
  if (state.model && state.photo) await look();
  else if (state.model) status("The model is ready. Drop a photograph.");
  else status("The picture is ready. Drop a model made by onnxsal compile.");
}

const isModel = (file) => file.name.toLowerCase().endsWith(".onnx");

async function takeModel(file) {
  busy("Reading the model");
  const bytes = new Uint8Array(await file.arrayBuffer()), known = describe(bytes, file.name);
  if (!["float", "float32", "uint8"].includes(known.explainer.input.type)) {
    throw new Wrong(`${file.name} takes ${known.explainer.input.type}, which browsers do not have.`, "Compile it with --bytes-in:", `onnxsal compile … --bytes-in -o ${file.name}`);
  }
  let inputs;
  try {
    ({ inputs } = await runner.open(bytes));
  } catch (error) {
    throw new Wrong(`${file.name} could not be loaded.`, firstLine(error));
  }
  Object.assign(state, { model: { ...known, name: file.name, bytes: bytes.length, quick: inputs.includes("explain") }, scores: null, target: null, map: null });
  showModel();
}

async function takePhoto(file) {
  busy("Reading the picture");
  let photo;
  try {
    photo = await decode(file);
  } catch {
    throw new Wrong(`${file.name || "This"} is neither a picture that this browser can read nor an .onnx file.`,
      "Pictures are for example JPEG, PNG or WebP.");
  }
  Object.assign(state, { photo, shown: forDisplay(photo), scores: null, target: null, map: null });
  byId("hint").hidden = true;
  paint();
}

function forDisplay(photo) {
  const side = Math.max(photo.width, photo.height), scale = Math.min(LARGEST, Math.max(SMALLEST, side)) / side;
  const full = new OffscreenCanvas(photo.width, photo.height), small = new OffscreenCanvas(
    Math.max(1, Math.round(photo.width * scale)), Math.max(1, Math.round(photo.height * scale)));
  const pixels = new ImageData(photo.width, photo.height);
  for (let i = 0, j = 0; j < pixels.data.length; j += 4) {
    for (let c = 0; c < 3; c++) pixels.data[j + c] = photo.data[i++];
    pixels.data[j + 3] = 255;
  }
  full.getContext("2d").putImageData(pixels, 0, 0);
  const pen = small.getContext("2d", { willReadFrequently: true });
  pen.imageSmoothingQuality = "high";
  pen.drawImage(full, 0, 0, small.width, small.height);
  return { image: pen.getImageData(0, 0, small.width, small.height), scale };
}

// What the model says

async function look() {
  const { explainer } = state.model;
  let saliency = state.scores ? null : await predict();
  busy(`Explaining “${label(state.target)}”`);
  const begun = performance.now();
  saliency ??= (await run(true, ["saliency"])).saliency;
  state.map = { data: saliency.data, height: saliency.dims[1], width: saliency.dims[2], signed: explainer.signed };
  paint();
  dispatchEvent(new CustomEvent("explained", { detail: { target: state.target, scores: state.scores, ...state.map } }));
  const seconds = (from) => `${((performance.now() - from) / 1000).toFixed(1)} s`;
  status(`Explained “${label(state.target)}” by ${explainer.method} in ${seconds(ready.started || begun)}.`);
  ready.started = 0;
}

/** Shows the classes; returns the saliency where it had to be computed with them and is the one that is wanted. */
async function predict() {
  const { explainer, quick } = state.model, { name } = explainer.output;
  busy("Looking");
  const found = await run(!quick, quick ? [name] : [name, "saliency"]);
  state.scores = probabilities(found[name].data, explainer.output);
  const best = state.scores.indexOf(Math.max(...state.scores));
  state.target = Number.isInteger(explainer.target) ? explainer.target : best;
  showClasses();
  return explainer.target === "input" && state.target !== 0 ? null : found.saliency ?? null;
}

async function run(explain, outputs) {
  const { explainer, preprocess } = state.model, { input } = explainer, [height, width] = input.size;
  const picture = fitted(state.photo, [width, height], preprocess);
  const shape = input.axes === "NHWC" ? [1, height, width, input.channels] : [1, input.channels, height, width];
  try {
    return await runner.run({ name: input.name, values: values(picture, input, preprocess), shape, explain, target: state.target ?? 0, outputs });
  } catch (error) {
    throw new Wrong(`${state.model.name} could not be run.`, firstLine(error));
  }
}

function probabilities(data, { activation, probabilities: done }) {
  const scores = Array.from(data, Number);
  if (data instanceof Uint8Array || data instanceof Int8Array) {
    const total = scores.reduce((a, b) => a + b, 0) || 1;
    return scores.map((s) => s / total);
  }
  if (done) return scores;
  if (activation === "sigmoid") return scores.map((s) => 1 / (1 + Math.exp(-s)));
  const most = Math.max(...scores), powers = scores.map((s) => Math.exp(s - most)), total = powers.reduce((a, b) => a + b, 0);
  return powers.map((p) => p / total);
}

const label = (index) => state.model.labels?.[index] ?? `class ${index}`;

// What is shown

function paint() {
  const { image, scale } = state.shown, canvas = byId("canvas");
  Object.assign(canvas, { width: image.width, height: image.height });
  let shown = image;
  if (state.map) {
    const { size } = state.model.explainer.input, { box } = place(state.photo, [size[1], size[0]], state.model.preprocess);
    shown = drawn(image, state.map, box.map((side) => side * scale), byId("opacity").value / 100);
  }
  canvas.getContext("2d").putImageData(shown, 0, 0);
  canvas.ariaLabel = state.map ? `The photograph, with what speaks for ${label(state.target)} in colour` : "The photograph";
}

function showClasses() {
  const { explainer } = state.model, free = explainer.target === "input";
  const order = state.scores.map((_, i) => i).sort((a, b) => state.scores[b] - state.scores[a]).slice(0, SHOWN);
  if (!order.includes(state.target)) order.push(state.target);
  byId("classes").replaceChildren(...order.map((index) => row(index, free)));
  byId("classes").classList.toggle("fixed", !free);
  byId("classes-note").textContent = free ? "Choose the class to explain." : Array.isArray(explainer.target)
    ? `This file explains ${label(explainer.target[0])} against ${label(explainer.target[1])}.`
    : `This file explains ${explainer.target === "predicted" ? "what it predicts" : `always ${label(explainer.target)}`}; compiled with -t input, it lets you choose.`;
  byId("other").hidden = !free || state.scores.length <= SHOWN;
  byId("all").replaceChildren(...state.scores.map((_, i) => new Option(label(i), i, false, i === state.target)));
}

function row(index, free) {
  const line = document.createElement("label"), name = document.createElement("b"), share = document.createElement("i");
  const chosen = Object.assign(document.createElement("input"),
    { type: "radio", name: "class", value: index, checked: index === state.target, disabled: !free });
  name.textContent = label(index);
  share.textContent = `${(state.scores[index] * 100).toFixed(1)} %`;
  line.style.setProperty("--share", `${Math.min(100, state.scores[index] * 100)}%`);
  line.append(chosen, name, share);
  return line;
}

function showModel() {
  const { explainer, name, bytes } = state.model, { size } = explainer.input;
  const options = Object.entries(explainer.options).map(([key, value]) => `${key} ${value}`).join(", ");
  const rows = { File: `${name}, ${(bytes / 1e6).toFixed(1)} MB`, "Made from": explainer.source, Method: explainer.method, Options: options,
    Layer: explainer.layer.join(", "), Sees: `${size[1]} × ${size[0]}`, Classes: explainer.output.classes };
  byId("facts").replaceChildren(...Object.entries(rows).filter(([, value]) => value).flatMap(([key, value]) =>
    [["dt", key], ["dd", value]].map(([tag, text]) => Object.assign(document.createElement(tag), { textContent: text }))));
  byId("classes").replaceChildren();
  byId("other").hidden = true;
}

function busy(text) {
  byId("busy").hidden = text === null;
  byId("busy-text").textContent = text === null ? "" : `${text}…`;
  document.body.ariaBusy = String(text !== null);
}

function status(text) {
  busy(null);
  byId("status").textContent = text;
}

function clear() {
  byId("problem").hidden = true;
}

function say(error) {
  status("");
  byId("problem-title").textContent = error instanceof Wrong ? error.title : "Something went wrong.";
  byId("problem-text").textContent = error instanceof Wrong ? error.text : firstLine(error);
  byId("problem-command").textContent = error.command ?? "";
  byId("problem").hidden = false;
}

const firstLine = (error) => String(error.message ?? error).split("\n")[0].slice(0, 300);

// What the person does

function choose(target) {
  todo(async () => {
    if (target === state.target) return;
    clear();
    state.target = target;
    showClasses();
    document.querySelector("#classes input:checked")?.focus();
    await look();
  });
}

for (const id of ["photo", "model"]) {
  byId(id).addEventListener("change", ({ target }) => {
    const files = [...target.files];
    target.value = "";
    if (files.length) todo(() => take(files));
  });
}
byId("opacity").addEventListener("input", ({ target }) => {
  byId("opacity-text").textContent = `${target.value} %`;
  if (state.shown) paint();
});
byId("classes").addEventListener("change", ({ target }) => choose(Number(target.value)));
byId("all").addEventListener("change", ({ target }) => choose(Number(target.value)));
byId("dismiss").addEventListener("click", clear);

let depth = 0;
const veil = (by) => { depth = by === 0 ? 0 : depth + by; byId("veil").hidden = depth <= 0; };
addEventListener("dragenter", (event) => { event.preventDefault(); veil(1); });
addEventListener("dragleave", () => veil(-1));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  veil(0);
  const { files } = event.dataTransfer;
  if (files.length) todo(() => take(files));
});
addEventListener("paste", ({ clipboardData }) => {
  if (clipboardData.files.length) todo(() => take(clipboardData.files));
});

// The model and the picture that lie beside the page, where they do

todo(async () => {
  busy("Starting");
  const files = [];
  for (const name of ["model.onnx", "example.png"]) {
    const answer = await fetch(name).catch(() => null);
    if (answer?.ok) files.push(new File([await answer.blob()], name));
  }
  if (files.length) await take(files);
  else status("No model lies beside this page: run sh set_up.sh, or drop one made by onnxsal compile.");
});
