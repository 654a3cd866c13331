// The page: which picture, which model, which class; what is drawn.
import { buttons, choosable, detections, onPhoto, shares } from "./boxes.js";
import { Wrong, describe } from "./compiled.js";
import { drawn } from "./drawing.js";
import { decode, fitted, place, values } from "./picture.js";
import * as runner from "./runner.js";

const LARGEST = 1200, SMALLEST = 760, SHOWN = 5;
const byId = (id) => document.getElementById(id);
const nothing = { scores: null, found: null, target: null, map: null };
const state = { model: null, photo: null, ...nothing, shown: null };
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
  Object.assign(state, { model: { ...known, name: file.name, bytes: bytes.length, quick: inputs.includes("explain") }, ...nothing });
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
  Object.assign(state, { photo, shown: forDisplay(photo), ...nothing });
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
  let saliency = state.scores || state.found ? null : await (detects() ? detect() : predict());
  if (state.target === null) return nobody();
  busy(`Explaining “${name()}”`);
  const begun = performance.now();
  saliency ??= (await run(true, ["saliency"])).saliency;
  state.map = { data: saliency.data, height: saliency.dims[1], width: saliency.dims[2], signed: explainer.signed };
  paint();
  dispatchEvent(new CustomEvent("explained", { detail: { target: state.target, scores: state.scores, found: state.found, ...state.map } }));
  const seconds = (from) => `${((performance.now() - from) / 1000).toFixed(1)} s`;
  status(`Explained “${name()}” by ${explainer.method} in ${seconds(ready.started || begun)}.`);
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

/** Shows what is detected; returns the saliency where it had to be computed with that. */
async function detect() {
  const { explainer, quick } = state.model, chooses = explainer.target === "input" || explainer.target?.box === "input";
  busy("Looking");
  const found = await run(!chooses, chooses && quick ? ["detections"] : ["detections", "explained", "saliency"]);
  state.found = detections(found.detections);
  const first = state.found.findIndex((each) => chooses ? choosable(each, explainer.target, state.found)
    : each.index === found.explained.data[5] && each.box.every((side, i) => Math.abs(side - found.explained.data[i]) < 0.01));
  state.target = first < 0 ? null : first;
  showDetections();
  return chooses ? null : found.saliency ?? null;
}

function nobody() {
  const { threshold } = state.model.explainer.output, { label: only } = Object(state.model.explainer.target);
  state.map = null;
  paint();
  dispatchEvent(new CustomEvent("explained", { detail: { target: null, found: state.found, data: [], height: 0, width: 0 } }));
  status(state.found.length ? `Nothing that this file explains is detected${only === undefined ? "" : `: no ${label(only)}`}.`
    : `Nothing is detected above ${threshold}.`);
  ready.started = 0;
}

const detects = () => state.model.explainer.output.task === "detection";

async function run(explain, outputs) {
  const { explainer, preprocess } = state.model, { input } = explainer, [height, width] = input.size;
  const picture = fitted(state.photo, [width, height], preprocess);
  const shape = input.axes === "NHWC" ? [1, height, width, input.channels] : [1, input.channels, height, width];
  try {
    return await runner.run({ name: input.name, values: values(picture, input, preprocess), shape, explain, outputs, ...asked() });
  } catch (error) {
    throw new Wrong(`${state.model.name} could not be run.`, firstLine(error));
  }
}

/** What is explained, as the file takes it: a class, or that of a detection and its box. */
function asked() {
  const detection = state.found?.[state.target ?? 0];
  return detection ? { target: detection.index, box: detection.box } : { target: detects() ? 0 : state.target ?? 0, box: [0, 0, 1, 1] };
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
const percent = (share) => `${(share * 100).toFixed(1)} %`;
const title = ({ number, index }) => `#${number} ${label(index)}`;
const name = () => state.found ? title(state.found[state.target]) : label(state.target);

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
  canvas.ariaLabel = state.map ? `The photograph, with what speaks for ${name()} in colour` : "The photograph";
  byId("picture").style.setProperty("--ratio", image.width / image.height);
  if (!state.found) byId("boxes").replaceChildren();
}

function showDetections() {
  const { explainer, preprocess } = state.model, size = [explainer.input.size[1], explainer.input.size[0]];
  const seen = place(state.photo, size, preprocess).box, open = (each) => choosable(each, explainer.target, state.found);
  byId("boxes").replaceChildren(...buttons(state.found, { chosen: state.target, open, choose,
    named: (each) => `${title(each)} ${percent(each.score)}`, placed: (each) => shares(onPhoto(each.box, seen, size), state.photo) }));
  byId("classes").replaceChildren(...state.found.map((each, i) => row(i, open(each), title(each), each.score)));
  byId("classes").classList.remove("fixed");
  byId("classes-note").textContent = !state.found.length ? `Nothing above ${explainer.output.threshold}.` : state.found.some(open)
    ? "Choose what to explain, here or in the picture." : "This file explains what it is surest of; compiled with -t input@input, it lets you choose.";
  byId("other").hidden = true;
}

function showClasses() {
  const { explainer } = state.model, free = explainer.target === "input";
  const order = state.scores.map((_, i) => i).sort((a, b) => state.scores[b] - state.scores[a]).slice(0, SHOWN);
  if (!order.includes(state.target)) order.push(state.target);
  byId("classes").replaceChildren(...order.map((index) => row(index, free, label(index), state.scores[index])));
  byId("classes").classList.toggle("fixed", !free);
  byId("classes-note").textContent = free ? "Choose the class to explain." : Array.isArray(explainer.target)
    ? `This file explains ${label(explainer.target[0])} against ${label(explainer.target[1])}.`
    : `This file explains ${explainer.target === "predicted" ? "what it predicts" : `always ${label(explainer.target)}`}; compiled with -t input, it lets you choose.`;
  byId("other").hidden = !free || state.scores.length <= SHOWN;
  byId("all").replaceChildren(...state.scores.map((_, i) => new Option(label(i), i, false, i === state.target)));
}

function row(index, free, text, score) {
  const line = document.createElement("label"), name = document.createElement("b"), share = document.createElement("i");
  const chosen = Object.assign(document.createElement("input"),
    { type: "radio", name: "class", value: index, checked: index === state.target, disabled: !free });
  name.textContent = text;
  share.textContent = percent(score);
  line.style.setProperty("--share", `${Math.min(100, score * 100)}%`);
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
  byId("boxes").replaceChildren();
  byId("classes-title").textContent = detects() ? "It detects" : "It sees";
  byId("classes-note").textContent = "";
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
    const inPicture = byId("boxes").contains(document.activeElement);
    state.target = target;
    (state.found ? showDetections : showClasses)();
    document.querySelector(inPicture ? '.box[aria-pressed="true"]' : "#classes input:checked")?.focus();
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
  const files = [], asked = new URLSearchParams(location.search);
  for (const name of [asked.get("model") ?? "model.onnx", asked.get("picture") ?? "example.png"]) {
    const answer = await fetch(name).catch(() => null);
    if (answer?.ok) files.push(new File([await answer.blob()], name));
  }
  if (files.length) await take(files);
  else status("No model lies beside this page: run sh set_up.sh, or drop one made by onnxsal compile.");
});
