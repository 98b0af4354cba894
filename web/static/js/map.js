// The map page: the picture, and what was found in it.

import { isTyping, onKey } from "./keys.js";
import { liveForm } from "./live_form.js";
import { Labels } from "./map_labels.js";
import { Picture } from "./map_picture.js";
import { Points, simplified } from "./map_points.js";
import { View } from "./map_view.js";
import { ask, own } from "./server.js";

// How far from a point, in pixels, it is still pointed at.
const REACH = 12;
const REST_MS = 60;
const MOST_CORNERS = 120;
const DIM = 0.3;
const MANY = 20_000;
const RESTING_MS = 140;

const sheet = document.querySelector("[data-map]");
const beside = document.getElementById("answer");
const form = document.getElementById("search");
const tip = sheet.querySelector(".tip");
const polygon = sheet.querySelector(".drawn polygon");
const failed = sheet.querySelector(".map-failed");
const lassoButton = sheet.querySelector("[data-lasso]");
const picture = new Picture(sheet.querySelector("canvas"));
const labels = new Labels(sheet.querySelector(".labels"), sheet.querySelector(".map-tools"));
const titles = new Map();
let told = null;
let points = null;
let view = null;
let colors = [];
let lit = [];
let region = null;
let pointedRow = -1;
let size = null;
let asked = 0;
let frame = 0;
let resting = null;
let coarse = false;

const part = () => beside.querySelector("[data-map-address]");

// ---- drawing ------------------------------------------------------------------------------

function radius() {
  const base = points.count > 50_000 ? 0.9 : points.count > 8_000 ? 1.3 : points.count > 1_500 ? 1.8 : 3;
  return Math.min(7, base * Math.max(1, view.scale / view.whole) ** 0.4);
}

/** Draw soon; while one moves over many points, coarsely, and finely once one rests. */
function redraw(moving = false) {
  clearTimeout(resting);
  if (moving) resting = setTimeout(redraw, RESTING_MS);
  coarse = moving && points?.count > MANY;
  frame ||= requestAnimationFrame(() => {
    frame = 0;
    if (!points || !picture.resize(coarse)) return;
    const began = performance.now();
    const size = radius();
    const layers = [{ rows: null, radius: size, colors, strength: lit.length ? DIM : 0.85 }];
    if (lit.length) layers.push({ rows: lit, radius: size + 2.5, colors });
    if (pointedRow >= 0) layers.push({ rows: [pointedRow], radius: size + 4, colors });
    picture.draw(points, view, layers);
    labels.arrange(view, picture.canvas.clientWidth, picture.canvas.clientHeight);
    drawRegion();
    sheet.dataset.drawnMs = (performance.now() - began).toFixed(1);
  });
}

function drawRegion() {
  const corners = (region ?? []).map(([x, y]) =>
    `${(x * view.scale + view.x).toFixed(1)},${(y * view.scale + view.y).toFixed(1)}`);
  polygon.setAttribute("points", corners.join(" "));
}

function readColors() {
  const style = getComputedStyle(beside);
  const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const colorOf = new Map();
  for (const dot of beside.querySelectorAll("[data-cluster] [data-color]")) {
    const number = Number(dot.closest("[data-cluster]").dataset.cluster);
    colorOf.set(number, getComputedStyle(dot).color);
  }
  // Any way a color can be written becomes three bytes on a canvas.
  const bytes = (color) => {
    probe.fillStyle = color;
    probe.fillRect(0, 0, 1, 1);
    return [...probe.getImageData(0, 0, 1, 1).data.slice(0, 3)];
  };
  colors = told.named.map(({ cluster }) => bytes(colorOf.get(cluster) ?? style.color));
  colors.push(bytes(style.getPropertyValue("--quiet") ? style.color : "gray"));
}

// ---- what is there ------------------------------------------------------------------------

async function load() {
  const mine = ++asked;
  failed.hidden = true;
  try {
    const reply = await ask(part().dataset.mapAddress);
    if (!reply.ok) throw new Error(reply.statusText);
    const found = await reply.json();
    if (mine !== asked) return;
    told = found;
    points = new Points(told);
    titles.clear();
    labels.setClusters(told.named);
    if (!view) setUpView();
    readColors();
    showPart();
  } catch {
    if (mine === asked) failed.hidden = false;
  }
}

/** Light up what stands beside the picture. */
function showPart() {
  if (!part()) return;
  if (!told || part().dataset.version !== told.version) {
    load();
    return;
  }
  const rows = part().dataset.lit;
  lit = rows ? rows.split(",").map(Number).reverse() : [];
  sheet.classList.toggle("lit", lit.length > 0);
  const hits = [...beside.querySelectorAll("[data-row]")].map((item) => ({
    row: Number(item.dataset.row),
    rank: item.dataset.rank,
    href: item.querySelector("a").href,
    title: item.querySelector("bdi").textContent,
  }));
  for (const { row, title, href } of hits) titles.set(row, { title, href });
  labels.setHits(hits.filter(({ rank }) => rank), points);
  const written = form.elements.map_region?.value ?? "";
  const corners = written.split(":polygon:")[1]?.split(",").map(Number) ?? [];
  region = corners.length ? pairs(corners) : null;
  for (const item of beside.querySelectorAll(".clusters [data-cluster]")) offerToShow(item);
  redraw();
}

const pairs = (numbers) => numbers.flatMap((x, at) => (at % 2 ? [] : [[x, numbers[at + 1]]]));

/** The dot before a cluster's name becomes a button that leads there. */
function offerToShow(item) {
  const dot = item.querySelector(".cluster-dot");
  const button = document.createElement("button");
  button.type = "button";
  button.className = dot.className;
  button.dataset.color = dot.dataset.color;
  button.title = "Show on the map";
  button.setAttribute("aria-label", `Show ${item.querySelector("bdi").textContent} on the map`);
  dot.remove();
  item.querySelector("a").before(button);
  button.addEventListener("click", () => {
    const number = Number(item.dataset.cluster);
    const [xs, ys] = [[], []];
    for (const row of points.rows) {
      if (points.clusters[row] !== number) continue;
      xs.push(points.x[row]);
      ys.push(points.y[row]);
    }
    xs.sort((a, b) => a - b);
    ys.sort((a, b) => a - b);
    // Without the few that lie apart.
    const at = (sorted, share) => sorted[Math.floor((sorted.length - 1) * share)] ?? 0;
    view.showPart(at(xs, 0.05), at(ys, 0.05), at(xs, 0.95), at(ys, 0.95));
    sheet.scrollIntoView({ block: "nearest" });
  });
}

// ---- pointing -----------------------------------------------------------------------------

let rest = null;

function point(row) {
  if (row !== pointedRow) {
    pointedRow = row;
    sheet.classList.toggle("over-point", row >= 0);
    for (const item of beside.querySelectorAll(".map-hits li")) {
      item.classList.toggle("pointed", Number(item.dataset.row) === row);
    }
    redraw();
  }
  clearTimeout(rest);
  tip.classList.remove("pinned");
  if (row < 0) {
    tip.hidden = true;
    return;
  }
  if (titles.has(row)) fillTip(row);
  else {
    tip.hidden = true;
    rest = setTimeout(async () => {
      await learn(row);
      if (pointedRow === row) fillTip(row);
    }, REST_MS);
  }
}

async function learn(row) {
  const query = new URLSearchParams({ rows: row, version: told.version });
  const collection = new FormData(form).get("collection");
  if (collection) query.set("collection", collection);
  try {
    const reply = await fetch(own(`/api/v1/map/documents?${query}`));
    const [found] = (await reply.json()).documents;
    const address = new URL(own(`/documents/${encodeURIComponent(found.doc_id)}`), location.href);
    if (collection) address.searchParams.set("collection", collection);
    titles.set(row, { title: found.title.trim() || found.doc_id, href: address.href });
  } catch {
    // No title, then; the next time it is pointed at asks again.
  }
}

function fillTip(row) {
  const known = titles.get(row);
  if (!known) return;
  const link = document.createElement("a");
  link.href = known.href;
  link.dir = "auto";
  link.textContent = known.title;
  const cluster = told.named[points.clusters[row]];
  const where = document.createElement("span");
  where.className = "hint";
  where.textContent = cluster ? cluster.terms.slice(0, 3).join(" · ") : "";
  tip.replaceChildren(link, where);
  tip.hidden = false;
  placeTip(points.x[row] * view.scale + view.x, points.y[row] * view.scale + view.y);
}

function placeTip(x, y) {
  const left = Math.min(Math.max(8, x + 14), sheet.clientWidth - tip.offsetWidth - 8);
  const below = y + 16 + tip.offsetHeight < sheet.clientHeight;
  tip.style.transform = `translate(${left}px, ${below ? y + 16 : y - 12 - tip.offsetHeight}px)`;
}

function rowAt(x, y) {
  const [unitX, unitY] = view.unitsAt(x, y);
  const reach = REACH / view.scale;
  // What is lit up is meant before what is not.
  let [best, found] = [reach ** 2, -1];
  for (const row of lit) {
    const apart = (points.x[row] - unitX) ** 2 + (points.y[row] - unitY) ** 2;
    if (apart < best) [best, found] = [apart, row];
  }
  return found >= 0 ? found : points.nearest(unitX, unitY, reach);
}

async function tap(x, y, event) {
  sheet.classList.add("touched");
  const row = rowAt(x, y);
  const again = row >= 0 && row === pointedRow && tip.classList.contains("pinned");
  point(row);
  if (row < 0) return;
  if (!titles.has(row)) await learn(row);
  if (pointedRow !== row || !titles.has(row)) return;
  fillTip(row);
  // A finger cannot hover: its first tap tells what is there, a click of the mouse knows already.
  if (event.pointerType === "mouse" || again) location.href = titles.get(row).href;
  else tip.classList.add("pinned");
}

// ---- drawing around a part ----------------------------------------------------------------

function setLasso(on) {
  view.drawing = on;
  sheet.classList.toggle("drawing", on);
  lassoButton.setAttribute("aria-pressed", String(on));
}

function drawAround(path, done) {
  if (path === null) return showPart();
  region = path.map(([x, y]) => view.unitsAt(x, y));
  if (!done) return redraw();
  setLasso(false);
  let slack = 1.5 / view.scale;
  let corners = simplified([...region, region[0]], slack).slice(0, -1);
  for (; corners.length > MOST_CORNERS; slack *= 1.6) corners = simplified(region, slack);
  if (corners.length < 3) return showPart();
  const units = corners.flat().map((unit) => Math.min(told.width, Math.max(0, Math.round(unit))));
  form.elements.map_region.value = `${told.drawing}:polygon:${units.join(",")}`;
  form.requestSubmit();
}

// ---- setting up ---------------------------------------------------------------------------

function setUpView() {
  const canvas = picture.canvas;
  view = new View(sheet, canvas, told.width, {
    changed: (moving) => {
      if (pointedRow >= 0) point(-1);
      redraw(moving);
    },
    tapped: tap,
    pointed: (x, y, event) => {
      if (event.pointerType !== "mouse" || !points) return;
      point(x === null ? -1 : rowAt(x, y));
    },
    draw: drawAround,
  });
  new ResizeObserver(() => {
    const before = size;
    size = { width: canvas.clientWidth, height: canvas.clientHeight };
    if (size.width) view.resized(before);
  }).observe(canvas);
  canvas.addEventListener("pointerdown", () => sheet.classList.add("touched"));
  const zooms = { in: () => view.zoom(1.6), out: () => view.zoom(1 / 1.6), all: () => view.showAll() };
  for (const button of sheet.querySelectorAll("[data-zoom]")) {
    button.addEventListener("click", zooms[button.dataset.zoom]);
  }
  lassoButton.addEventListener("click", () => setLasso(!view.drawing));
  onKey("l", (event) => isTyping(event) || setLasso(!view.drawing));
  onKey("Escape", () => view.drawing && setLasso(false));
}

function recolor() {
  if (!told) return;
  readColors();
  redraw();
}

sheet.hidden = false;
// A part of the map may be looked at without a word.
form.elements.q.required = false;
failed.querySelector("[data-again]").addEventListener("click", load);
beside.addEventListener("pointerover", (event) => {
  const item = event.target.closest(".map-hits li");
  if (item && view) {
    pointedRow = Number(item.dataset.row);
    redraw();
  }
});
beside.addEventListener("pointerleave", () => view && point(-1));
sheet.querySelector(".labels").addEventListener("pointerover", (event) => {
  const mark = event.target.closest("[data-row]");
  if (mark && event.pointerType === "mouse") point(Number(mark.dataset.row));
});
new MutationObserver(recolor).observe(document.documentElement, { attributeFilter: ["data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", recolor);
liveForm({ path: "/map", part: "/parts/map", shown: showPart });
load();
