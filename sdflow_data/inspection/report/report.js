"use strict";

const data = JSON.parse(document.getElementById("data").textContent);
const tooltip = document.getElementById("tooltip");
const CLASSES = { // of all that plots show, in the order of their legends
  generated: "generated", real: "real", bicubic: "bicubic",
  brightness: "brightness", "R - B": "first-colour", "R - 2G + B": "second-colour",
};
const ORDER = Object.keys(CLASSES);
const HEIGHT = 270, MARGIN = { top: 8, right: 10, bottom: 40, left: 52 };

function element(name, attributes = {}, parent = null, text = null) {
  const svg = ["svg", "g", "path", "line", "text", "circle", "rect", "clipPath"].includes(name);
  const made = svg ? document.createElementNS("http://www.w3.org/2000/svg", name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  if (text !== null) made.textContent = text;
  if (parent) parent.append(made);
  return made;
}

function number(value) {
  if (value === null || value === undefined) return "—";
  const size = Math.abs(value), digits = size >= 99.95 ? 0 : size >= 9.995 ? 1 : 2;
  return value.toFixed(digits).replace(/^-(0\.?0*)$/, "$1");
}

function ticks(low, high, about) {
  const rough = (high - low) / about, power = 10 ** Math.floor(Math.log10(rough));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= rough);
  const digits = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  const found = [];
  for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) {
    found.push({ value: n * step, text: (n * step).toFixed(digits) });
  }
  return found;
}

/* A plot: series of lines, areas, points and bands over common axes, with hover, zoom and a legend.
   spec: { title; x, y: labels; unit: of y; fromZero: y begins at 0; reach: both axes go from -reach to reach in the same unit;
           series: [{ set, kind: line|thin|area|points|cloud, x, y, low and high of a band, format of y }] } */
class Plot {
  constructor(host) {
    this.legend = element("div", { class: "legend" }, host);
    this.host = element("div", {}, host);
    this.hidden = new Set();
    this.zoom = null;
    new ResizeObserver(() => this.spec && this.draw()).observe(host);
  }

  show(spec) {
    this.spec = spec;
    this.zoom = null;
    this.legend.replaceChildren();
    for (const set of ORDER.filter((name) => spec.series.some((s) => s.set === name))) {
      const button = element("button", { type: "button", class: CLASSES[set] }, this.legend, set);
      button.setAttribute("aria-pressed", !this.hidden.has(set));
      button.onclick = () => {
        this.hidden.has(set) ? this.hidden.delete(set) : this.hidden.add(set);
        button.setAttribute("aria-pressed", !this.hidden.has(set));
        this.draw();
      };
    }
    this.whole = element("button", { type: "button", class: "whole" }, this.legend, "Show all of it");
    this.whole.onclick = () => {
      this.zoom = null;
      this.draw();
      this.legend.querySelector("button").focus();
    };
    this.draw();
  }

  /* What the plot shows, in words: for each set the ends of both axes' ranges. */
  get words() {
    const range = (values) => `${number(Math.min(...values))} to ${number(Math.max(...values))}`;
    const parts = this.visible.filter((s) => s.kind !== "thin" && s.x.length)
      .map((s) => `${s.set}: ${this.spec.y} ${range(s.y)} at ${this.spec.x} ${range(s.x)}`);
    return `${this.spec.title}. ${parts.join("; ") || "Nothing to show"}.`;
  }

  get visible() {
    return this.spec.series.filter((s) => !this.hidden.has(s.set));
  }

  domain(axis) {
    if (axis === "x" && this.zoom) return this.zoom;
    if (this.spec.reach) return [-this.spec.reach, this.spec.reach].map((end) => end * (axis === "x" ? this.aspect : 1));
    const values = axis === "x" ? this.visible.flatMap((s) => s.x) : this.heights;
    if (!values.length) return [0, 1];
    let low = Math.min(...values), high = Math.max(...values);
    if (axis === "y") {
      if (this.spec.fromZero) low = Math.min(0, low);
      const room = (high - low || 1) * 0.06;
      high += room;
      if (!this.spec.fromZero) low -= room;
    }
    return high > low ? [low, high] : [low - 0.5, high + 0.5];
  }

  /* All y of the visible series and the ends of their bands, within the zoom. */
  get heights() {
    const [from, to] = this.zoom || [-Infinity, Infinity];
    return this.visible.flatMap((s) =>
      s.y.flatMap((y, i) => (s.x[i] >= from && s.x[i] <= to ? [y, ...(s.low ? [s.low[i], s.high[i]] : [])] : [])));
  }

  draw() {
    const width = Math.max(280, this.host.clientWidth);
    const inner = { width: width - MARGIN.left - MARGIN.right, height: HEIGHT - MARGIN.top - MARGIN.bottom };
    this.aspect = inner.width / inner.height;
    const [x0, x1] = this.domain("x"), [y0, y1] = this.domain("y");
    this.toX = (x) => MARGIN.left + ((x - x0) / (x1 - x0)) * inner.width;
    this.toY = (y) => MARGIN.top + (1 - (y - y0) / (y1 - y0)) * inner.height;
    this.fromX = (px) => x0 + ((px - MARGIN.left) / inner.width) * (x1 - x0);
    const svg = element("svg", { viewBox: `0 0 ${width} ${HEIGHT}`, role: "img", "aria-label": this.words });
    this.axes(svg, inner, width, [x0, x1], [y0, y1]);
    const clip = `clip-${Plot.count = (Plot.count || 0) + 1}`;
    element("rect", { x: MARGIN.left, y: MARGIN.top, ...inner }, element("clipPath", { id: clip }, svg));
    const marks = element("g", { "clip-path": `url(#${clip})` }, svg);
    for (const series of this.visible) this.series(marks, series);
    this.pointer(svg, inner);
    this.host.replaceChildren(svg);
    this.whole.hidden = !this.zoom;
  }

  axes(svg, inner, width, xs, ys) {
    const bottom = MARGIN.top + inner.height;
    for (const { value, text } of ticks(...ys, 5)) {
      const y = this.toY(value);
      element("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y, y2: y }, svg);
      element("text", { x: MARGIN.left - 8, y: y + 4, "text-anchor": "end" }, svg, text);
    }
    for (const { value, text } of ticks(...xs, Math.min(7, inner.width / 50))) {
      element("text", { x: this.toX(value), y: bottom + 16, "text-anchor": "middle" }, svg, text);
    }
    element("line", { class: "axis", x1: MARGIN.left, x2: width - MARGIN.right, y1: bottom, y2: bottom }, svg);
    element("text", { x: MARGIN.left + inner.width / 2, y: HEIGHT - 6, "text-anchor": "middle" }, svg, this.spec.x);
    const middle = MARGIN.top + inner.height / 2;
    element("text", { x: 12, y: middle, "text-anchor": "middle", transform: `rotate(-90 12 ${middle})` }, svg, this.spec.y);
  }

  series(group, s) {
    const path = (xs, ys) => xs.map((x, i) => `${i ? "L" : "M"}${this.toX(x).toFixed(1)} ${this.toY(ys[i]).toFixed(1)}`).join("");
    const back = (xs, ys) => path([...xs].reverse(), [...ys].reverse()).replace("M", "L");
    if (s.low) element("path", { class: `band ${CLASSES[s.set]}`, d: path(s.x, s.high) + back(s.x, s.low) + "Z" }, group);
    if (s.kind === "area") {
      element("path", { class: `area ${CLASSES[s.set]}`, d: path(s.x, s.y) + back(s.x, s.y.map(() => 0)) + "Z" }, group);
    } else if (s.kind === "points" || s.kind === "cloud") {
      const [look, r] = s.kind === "points" ? ["point", 4] : ["cloud", 2.6];
      s.x.forEach((x, i) => element("circle", { class: `${look} ${CLASSES[s.set]}`, cx: this.toX(x), cy: this.toY(s.y[i]), r }, group));
    } else {
      element("path", { class: `line ${s.kind} ${CLASSES[s.set]}`, d: path(s.x, s.y) }, group);
    }
  }

  pointer(svg, inner) {
    const cursor = element("line", { class: "cursor", y1: MARGIN.top, y2: MARGIN.top + inner.height, visibility: "hidden" }, svg);
    const selection = element("rect", { class: "zoom", y: MARGIN.top, height: inner.height, width: 0 }, svg);
    const at = (event) => {
      const box = svg.getBoundingClientRect();
      const px = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
      return Math.min(Math.max(px, MARGIN.left), MARGIN.left + inner.width);
    };
    let start = null;
    svg.onpointerdown = (event) => {
      event.preventDefault(); // or the drag would select the axes' text
      start = at(event);
      svg.setPointerCapture(event.pointerId);
    };
    svg.onpointercancel = () => { start = null; selection.setAttribute("width", 0); };
    svg.onpointermove = (event) => {
      const px = at(event);
      if (start !== null) {
        selection.setAttribute("x", Math.min(px, start));
        selection.setAttribute("width", Math.abs(px - start));
      }
      if (this.visible.every((s) => s.kind === "cloud")) return;
      for (const end of ["x1", "x2"]) cursor.setAttribute(end, px);
      cursor.setAttribute("visibility", "visible");
      this.tell(event, this.fromX(px));
    };
    svg.onpointerup = (event) => {
      if (start === null) return;
      const ends = [start, at(event)].sort((a, b) => a - b);
      start = null;
      if (ends[1] - ends[0] > 8) {
        this.zoom = ends.map(this.fromX);
        tooltip.hidden = true;
        this.draw();
      } else {
        selection.setAttribute("width", 0);
      }
    };
    svg.onpointerleave = () => { tooltip.hidden = true; cursor.setAttribute("visibility", "hidden"); };
  }

  tell(event, x) {
    const lines = [];
    let place = null;
    for (const s of this.visible.filter((s) => s.kind !== "thin" && s.x.length)) {
      let nearest = 0;
      s.x.forEach((value, i) => { if (Math.abs(value - x) < Math.abs(s.x[nearest] - x)) nearest = i; });
      place = place ?? s.x[nearest];
      const range = s.low ? ` (${number(s.low[nearest])} to ${number(s.high[nearest])})` : "";
      const text = s.format ? s.format(s.y[nearest]) : number(s.y[nearest]) + (this.spec.unit ? ` ${this.spec.unit}` : "");
      const elsewhere = s.x[nearest] === place ? "" : ` at ${number(s.x[nearest])}`;
      lines.push([s.set, text + range + elsewhere]);
    }
    if (!lines.length) return;
    tooltip.replaceChildren(element("b", {}, null, `${this.spec.x}: ${number(place)}`));
    for (const [set, text] of lines) {
      const line = element("span", { class: CLASSES[set] }, tooltip);
      element("span", {}, line, set);
      element("span", {}, line, text);
    }
    tooltip.hidden = false;
    const box = tooltip.getBoundingClientRect();
    const left = event.clientX + 16 + box.width > innerWidth ? event.clientX - 16 - box.width : event.clientX + 16;
    tooltip.style.left = `${left}px`;
    tooltip.style.top = `${Math.min(event.clientY + 12, innerHeight - box.height - 8)}px`;
  }
}

function sets(found) {
  return ORDER.filter((name) => found[name]).map((name) => [name, found[name]]);
}

function histogram(statistic) {
  const found = statistic.histogram;
  if (!found) return [];
  return sets(found.shares).map(([set, shares]) => {
    const step = (found.high - found.low) / shares.length;
    const x = shares.flatMap((_, i) => [found.low + i * step, found.low + (i + 1) * step]);
    return { set, kind: "area", x, y: shares.flatMap((share) => [100 * share, 100 * share]), format: (v) => `${v.toFixed(1)} %` };
  });
}

const plots = {};
for (const host of document.querySelectorAll("[data-plot]")) plots[host.dataset.plot] = new Plot(host);

/* Shows a statistic in the plot and the box beside it. */
function choose(name) {
  const statistic = data.statistics[name];
  const unit = statistic.unit ? ` (${statistic.unit})` : "";
  plots.histogram.show({
    title: `Distribution of ${name}`, x: name + unit, y: "% of patches", fromZero: true, series: histogram(statistic),
  });
  describe(name, statistic);
  for (const row of document.querySelectorAll("[data-statistic]")) {
    const chosen = row.dataset.statistic === name;
    row.classList.toggle("selected", chosen);
    row.querySelector("button").setAttribute("aria-pressed", chosen);
  }
}

function describe(name, statistic) {
  const about = document.getElementById("about"), numbers = statistic.numbers;
  about.replaceChildren();
  element("h3", {}, about, name);
  element("p", {}, about, statistic.description[0].toUpperCase() + statistic.description.slice(1) + ".");
  const list = element("dl", {}, about);
  const rows = [["generated, median", number(numbers.generated)]];
  if (numbers.real !== null) rows.push(["real, median", number(numbers.real)]);
  rows.push(["bicubic, median", number(numbers.bicubic)]);
  if (numbers.distance !== null) {
    rows.push(["distance to real", number(numbers.distance)]);
    rows.push(["90 % interval", `${number(numbers.low)} to ${number(numbers.high)}`]);
    rows.push(["floor", number(numbers.floor)], ["ceiling", number(numbers.ceiling)]);
  }
  for (const [term, value] of rows) {
    element("dt", {}, list, term);
    element("dd", {}, list, value);
  }
}

/* A row far down would change a plot that is out of sight. */
function scrollToPlot() {
  const chosen = document.querySelector(".chosen"), top = chosen.getBoundingClientRect().top;
  if (top < 0 || top > innerHeight / 2) chosen.scrollIntoView({ block: "start", behavior: "instant" });
}

for (const row of document.querySelectorAll("[data-statistic]")) {
  row.onclick = () => {
    choose(row.dataset.statistic);
    scrollToPlot();
  };
}
choose(document.querySelector("[data-statistic]").dataset.statistic);

plots.spectrum.show({
  title: "Radial power spectrum", x: "frequency (cycles per pixel)", y: "log10 of power (levels²)",
  series: sets(data.spectrum).map(([set, found]) => ({ set, kind: "line", ...found })),
});
plots.noise.show({
  title: "Noise against brightness", x: "brightness (levels)", y: "noise level (levels)", unit: "levels", fromZero: true,
  series: sets(data.noise).flatMap(([set, found]) => [
    { set, kind: "points", x: found.x, y: found.y },
    ...(found.fit ? [{ set, kind: "thin", x: found.fit.x, y: found.fit.y }] : []),
  ]),
});
const reach = Math.max(0.3, ...data.shift.x.map(Math.abs), ...data.shift.y.map(Math.abs)) * 1.05;
plots.shift.show({
  title: "Shift of LR against bicubic", x: "to the right (LR pixels)", y: "downwards (LR pixels)", reach,
  series: [{ set: "generated", kind: "cloud", ...data.shift }],
});

data.cameras.forEach((camera, number) => {
  const curves = (found) => sets(found).map(([set, curve]) => ({ set, kind: "line", ...curve }));
  plots[`response-${number}`].show({
    title: `Response of camera ${number}`, x: "frequency (cycles per LR pixel)", y: "response", fromZero: true,
    series: curves(camera.response),
  });
  plots[`noise-${number}`].show({
    title: `Noise of camera ${number}`, x: "brightness (levels)", y: "noise (levels)", unit: "levels", fromZero: true,
    series: curves(camera.noise),
  });
});

document.getElementById("more").onclick = (event) => {
  const button = event.target, shown = button.getAttribute("aria-expanded") === "true";
  for (const rows of document.querySelectorAll(".more")) rows.hidden = shown;
  button.dataset.all ??= button.textContent;
  button.textContent = shown ? button.dataset.all : "Show fewer statistics";
  button.setAttribute("aria-expanded", !shown);
};

/* The lightbox: the chosen picture of a patch beside those that are the same in all its pictures, at one zoom. */
const lightbox = document.getElementById("lightbox");
const rows = [...document.querySelectorAll("#gallery .row, .components td:has(.zoomable)")];
let place = { row: 0, picture: 0 };

function beside(pictures, chosen) {
  const label = (button) => button.firstElementChild.alt;
  const first = (name) => pictures.find((button) => label(button).startsWith(name));
  const lr = pictures.filter((button) => label(button).startsWith("variant"));
  const varied = label(chosen).startsWith("variant") ? chosen : lr[0];
  const real = label(chosen) === "real" ? chosen : first("real");
  const side = [first("HR"), first("bicubic"), varied, real].filter(Boolean);
  return side.length ? side : [chosen];
}

/* The width of each of the images on the screen: as wide as fits, in whole pixels of the smallest one. */
function widthOf(images) {
  const widths = images.map((image) => image.naturalWidth), smallest = Math.min(...widths);
  const tallest = Math.max(...images.map((image) => image.naturalHeight));
  const across = Math.min(images.length, innerWidth < 700 ? 2 : 4), down = Math.ceil(images.length / across);
  const room = { width: (innerWidth * 0.94) / across - 8, height: (innerHeight * 0.8) / down - 40 };
  const fits = Math.min(room.width, (room.height * Math.max(...widths)) / tallest);
  return Math.min(Math.max(1, Math.floor(fits / smallest)) * smallest, innerWidth * 0.94);
}

function showPlace() {
  const pictures = [...rows[place.row].querySelectorAll(".zoomable")];
  place.picture = Math.min(Math.max(place.picture, 0), pictures.length - 1);
  const chosen = pictures[place.picture];
  const side = beside(pictures, chosen);
  const width = widthOf(side.map((button) => button.firstElementChild));
  const host = lightbox.querySelector(".side");
  host.replaceChildren();
  for (const button of side) {
    const image = button.firstElementChild;
    const figure = element("figure", { class: button === chosen ? "current" : "" }, host);
    figure.style.width = `${width}px`;
    element("img", { src: image.src, alt: image.alt, class: "pixels" }, figure);
    element("figcaption", {}, figure, `${image.alt}, ${image.naturalWidth} × ${image.naturalHeight} pixels`);
  }
  lightbox.querySelector("p").textContent = chosen.title;
  if (!lightbox.open) lightbox.showModal();
}

/* To another patch, or another picture; behind the last picture of a patch comes the first of the next. */
function go(patches, pictures) {
  const count = (row) => rows[row].querySelectorAll(".zoomable").length;
  const last = rows.length - 1, wanted = place.picture + pictures;
  if (wanted >= count(place.row) && place.row < last) place = { row: place.row + 1, picture: 0 };
  else if (wanted < 0 && place.row > 0) place = { row: place.row - 1, picture: count(place.row - 1) - 1 };
  else place = { row: Math.min(Math.max(place.row + patches, 0), last), picture: wanted };
  showPlace();
}

rows.forEach((row, number) => row.querySelectorAll(".zoomable").forEach((button, picture) => {
  button.onclick = () => { place = { row: number, picture }; showPlace(); };
}));
lightbox.onkeydown = (event) => {
  const step = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
  if (!step) return;
  event.preventDefault();
  go(...step);
};
lightbox.onclose = () => rows[place.row].querySelectorAll(".zoomable")[place.picture].focus();
lightbox.onclick = (event) => {
  if (event.target.dataset.step) go(0, Number(event.target.dataset.step));
  else if (!event.target.closest("figure")) lightbox.close();
};

/* Wide tables say so, where they go on. */
const wide = () => {
  for (const host of document.querySelectorAll(".scroll")) {
    host.previousElementSibling.hidden = !host.classList.toggle("wide", host.scrollWidth > host.clientWidth + 1);
  }
};
addEventListener("resize", wide);
wide();
