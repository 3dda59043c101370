// The scan in three linked planes. NiiVue draws; positions here are RAS mm as NiiVue has them, LPS mm on the page.
const scene = JSON.parse(document.getElementById("scene").textContent);
const $ = (id) => document.getElementById(id);
const all = (selector) => [...document.querySelectorAll(selector)];
const SLICE = { axial: 0, coronal: 1, sagittal: 2 };
const DRAG = { measurement: 2, pan: 3, crosshair: 8, windowing: 9 };
const ALL_PLANES = [
  { sliceType: SLICE.axial, position: [0, 0, 0.62, 1] },
  { sliceType: SLICE.coronal, position: [0.62, 0, 0.38, 0.5] },
  { sliceType: SLICE.sagittal, position: [0.62, 0.5, 0.38, 0.5] },
];
const ZOOM_STEP = 1.25;
const ZOOM_MOST = 12;
const OPACITY_STEP = 0.1;
const state = { scan: 0, window: scene.window, planes: "all", drag: "crosshair", opacity: 0.35, outline: false, finding: -1 };
let nv, scans, labels;

async function bytesOf(source) {
  if (source.url) {
    const answer = await fetch(source.url);
    if (!answer.ok) throw new Error(`${source.url}: ${answer.status}`);
    return answer.arrayBuffer();
  }
  const element = $(source.id);
  const text = atob(element.textContent);
  element.remove();
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0)).buffer;
}

async function imageOf(source, name) {
  return niivue.NVImage.new(await bytesOf(source), name, "gray", 1);
}

function colourTable(entries) {
  const table = { R: [0], G: [0], B: [0], A: [0], I: [0], labels: [""] };
  for (const entry of entries) {
    const [red, green, blue] = [1, 3, 5].map((start) => parseInt(entry.colour.slice(start, start + 2), 16));
    table.R.push(red), table.G.push(green), table.B.push(blue), table.A.push(255);
    table.I.push(entry.value), table.labels.push(entry.name);
  }
  return table;
}

async function start() {
  nv = new niivue.Niivue({
    logLevel: "silent", backColor: [0, 0, 0, 1], crosshairColor: [1, 0.82, 0.4, 0.8], crosshairWidth: 0.4,
    crosshairWidthUnit: "percent", crosshairGap: 16, show3Dcrosshair: false, isRadiologicalConvention: true,
    sagittalNoseLeft: true, isOrientationTextVisible: true, showAllOrientationMarkers: true, fontColor: [0.35, 0.68, 1, 1],
    isColorbar: false, dragAndDropEnabled: false,
    multiplanarForceRender: false, multiplanarShowRender: 0, tileMargin: 0, dragMode: DRAG.windowing,
    dragModePrimary: DRAG.crosshair, measureLineColor: [1, 0.82, 0.4, 1], measureTextColor: [1, 0.9, 0.6, 1],
    clipPlaneHotKey: "", cycleClipPlaneHotKey: "", viewModeHotKey: "", scrollRequiresFocus: false,
  });
  nv.onLocationChange = readOut;
  nv.onIntensityChange = () => ((state.window = -1), refresh());
  nv.onMeasurementCompleted = listDistances;
  // without its context the canvas would go on showing the last picture
  $("canvas").addEventListener("webglcontextlost", () => fail(new Error("the browser gave up drawing; load the page again")));
  await nv.attachToCanvas($("canvas"));
  scans = [];
  for (const source of scene.scans) {
    const image = await imageOf(source, `${source.id}.nii.gz`);
    [image.cal_min, image.cal_max] = [source.windows[scene.window].low, source.windows[scene.window].high];
    scans.push(image);
  }
  if (scene.labels) {
    labels = await imageOf(scene.labels, "labels.nii.gz");
    labels.setColormapLabel(colourTable(scene.labels.entries));
    labels.opacity = state.opacity;
  }
  show(0);
  setPlanes("all");
  if (scene.findings.length) jump(0);
  else moveTo([0.5, 0.5, 0.5]);
}

function show(index) {
  state.scan = index;
  nv.volumes = labels ? [scans[index], labels] : [scans[index]];
  nv.setVolume(scans[index], 0);
  refresh();
}

function setWindow(index) {
  const window = scene.scans[state.scan].windows[index];
  if (!window) return;
  state.window = index;
  [scans[state.scan].cal_min, scans[state.scan].cal_max] = [window.low, window.high];
  nv.updateGLVolume();
  refresh();
}

function setPlanes(name) {
  state.planes = name;
  nv.setCustomLayout(name === "all" ? ALL_PLANES : [{ sliceType: SLICE[name], position: [0, 0, 1, 1] }]);
  nv.drawScene();
  refresh();
}

function setDrag(name) {
  state.drag = name;
  nv.opts.dragModePrimary = DRAG[name];
  refresh();
}

function setMask(opacity, outline) {
  if (!labels) return;
  state.opacity = Math.min(1, Math.max(0, opacity));
  state.outline = outline;
  // NiiVue's outline is the border over the area: as outline alone, the area is clear
  nv.opts.atlasOutline = outline ? state.opacity : 0;
  nv.setOpacity(1, outline ? 0 : state.opacity);
  refresh();
}

function moveTo(fraction) {
  nv.scene.crosshairPos = fraction.map((value) => Math.min(1, Math.max(0, value)));
  nv.createOnLocationChange();
  nv.drawScene();
}

function step(axis, count) {
  const dims = nv.volumes[0].dimsRAS;
  const fraction = [...nv.scene.crosshairPos];
  fraction[axis] += count / dims[axis + 1];
  moveTo(fraction.map((value, at) => Math.min(1 - 0.5 / dims[at + 1], Math.max(0.5 / dims[at + 1], value))));
}

function setZoom(zoom) {
  zoom = Math.min(ZOOM_MOST, Math.max(1, zoom));
  const middle = nv.frac2mm([0.5, 0.5, 0.5]);
  const cross = nv.frac2mm(nv.scene.crosshairPos);
  const pan = [0, 1, 2].map((axis) => (zoom === 1 ? 0 : middle[axis] - zoom * cross[axis]));
  nv.scene.pan2Dxyzmm = [...pan, zoom];
  nv.drawScene();
  refresh();
}

function jump(index) {
  if (!scene.findings.length) return;
  state.finding = (index + scene.findings.length) % scene.findings.length;
  const [x, y, z] = scene.findings[state.finding].center_lps_mm;
  moveTo([...nv.mm2frac([-x, -y, z], 0, true)].slice(0, 3));
  if (nv.scene.pan2Dxyzmm[3] > 1) setZoom(nv.scene.pan2Dxyzmm[3]);
  refresh();
}

function readOut(at) {
  const [x, y, z] = [-at.mm[0], -at.mm[1], at.mm[2]];
  const place = [[x, "L", "R"], [y, "P", "A"], [z, "S", "I"]]
    .map(([mm, positive, negative]) => `${mm < 0 ? negative : positive} ${Math.abs(mm).toFixed(1)}`).join("  ");
  $("place").textContent = `${place} mm`;
  $("readout").dataset.lps = [x, y, z].map((value) => value.toFixed(2)).join(" ");
  const unit = scene.scans[state.scan].unit;
  const value = at.values[0] ? at.values[0].value : NaN;
  $("grey").textContent = Number.isFinite(value) ? `${Number(value.toPrecision(4))}${unit ? ` ${unit}` : ""}` : "";
  const label = at.values[1] ? Math.round(at.values[1].value) : 0;
  const entry = label && scene.labels ? scene.labels.entries.find((one) => one.value === label) : null;
  $("under").textContent = entry ? entry.name : "";
}

function listDistances() {
  const done = nv.document.completedMeasurements;
  $("distances").replaceChildren(...done.map((one) => {
    const item = document.createElement("li");
    item.textContent = `${one.distance.toFixed(1)} mm`;
    return item;
  }));
}

function press(selector, on) {
  for (const button of all(selector)) button.setAttribute("aria-pressed", String(on(button)));
}

function refresh() {
  const { windows, unit } = scene.scans[state.scan];
  const [low, high] = [scans[state.scan].cal_min, scans[state.scan].cal_max];
  $("window").textContent = `W ${Math.round(high - low)} L ${Math.round((high + low) / 2)}${unit ? ` ${unit}` : ""}`;
  if (state.window >= 0 && (windows[state.window].low !== low || windows[state.window].high !== high)) state.window = -1;
  press("[data-scan]", (button) => Number(button.dataset.scan) === state.scan);
  press("[data-window]", (button) => Number(button.dataset.window) === state.window);
  press("[data-planes]", (button) => button.dataset.planes === state.planes);
  press("[data-drag]", (button) => button.dataset.drag === state.drag);
  all("[data-finding]").forEach((row) => {
    const chosen = Number(row.dataset.finding) === state.finding;
    row.classList.toggle("chosen", chosen);
    row.querySelector(".jump").setAttribute("aria-pressed", String(chosen));
  });
  $("zoom").textContent = `${Math.round(nv.scene.pan2Dxyzmm[3] * 100)} %`;
  if (labels) {
    $("outline").setAttribute("aria-pressed", String(state.outline));
    $("opacity").value = Math.round(state.opacity * 100);
    $("opacity-value").textContent = `${Math.round(state.opacity * 100)} %`;
  }
}

// what a key does; SHORTCUTS in medimg/report/scene.py names them for the list on the page
const KEYS = {
  ArrowLeft: () => step(0, 1), ArrowRight: () => step(0, -1), ArrowUp: () => step(1, 1), ArrowDown: () => step(1, -1),
  PageUp: () => step(2, 1), PageDown: () => step(2, -1),
  n: () => jump(state.finding + 1), p: () => jump(state.finding - 1),
  "+": () => setZoom(nv.scene.pan2Dxyzmm[3] * ZOOM_STEP), "=": () => setZoom(nv.scene.pan2Dxyzmm[3] * ZOOM_STEP),
  "-": () => setZoom(nv.scene.pan2Dxyzmm[3] / ZOOM_STEP), 0: () => setZoom(1),
  1: () => setWindow(0), 2: () => setWindow(1), 3: () => setWindow(2), 4: () => setWindow(3),
  m: () => setPlanes("all"), a: () => setPlanes("axial"), c: () => setPlanes("coronal"), s: () => setPlanes("sagittal"),
  d: () => setDrag("measurement"), w: () => setDrag("windowing"),
  Escape: () => setDrag("crosshair"),
  Delete: () => (nv.clearAllMeasurements(), listDistances()),
  "[": () => setMask(state.opacity - OPACITY_STEP, state.outline), "]": () => setMask(state.opacity + OPACITY_STEP, state.outline),
  o: () => setMask(state.opacity, !state.outline),
};

function listen() {
  const stage = $("stage");
  // NiiVue has keys of its own; only those the page tells of shall work
  for (const kind of ["keydown", "keyup"])
    stage.addEventListener(kind, (event) => {
      const action = KEYS[event.key.length === 1 ? event.key.toLowerCase() : event.key];
      if (event.key !== "Tab") event.stopPropagation();
      if (kind !== "keydown" || !action || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      action();
    }, true);
  stage.addEventListener("wheel", (event) => {
    if (!event.ctrlKey) return;
    event.preventDefault();
    event.stopPropagation();
    setZoom(nv.scene.pan2Dxyzmm[3] * (event.deltaY < 0 ? ZOOM_STEP : 1 / ZOOM_STEP));
  }, { capture: true, passive: false });
  // a double click would set NiiVue's own grey levels
  stage.addEventListener("dblclick", (event) => event.stopPropagation(), true);
  const on = (selector, action) => all(selector).forEach((one) => one.addEventListener("click", () => action(one)));
  on("[data-scan]", (button) => show(Number(button.dataset.scan)));
  on("[data-window]", (button) => setWindow(Number(button.dataset.window)));
  on("[data-planes]", (button) => setPlanes(button.dataset.planes));
  on("[data-drag]", (button) => setDrag(button.dataset.drag));
  on("[data-finding]", (row) => jump(Number(row.dataset.finding)));
  const zoom = { in: ZOOM_STEP, out: 1 / ZOOM_STEP, fit: 0 };
  on("[data-zoom]", (button) => setZoom(nv.scene.pan2Dxyzmm[3] * zoom[button.dataset.zoom]));
  if (!labels) return;
  $("opacity").addEventListener("input", (event) => setMask(Number(event.target.value) / 100, state.outline));
  on("#outline", () => setMask(state.opacity, !state.outline));
}

function fail(error) {
  $("viewer").hidden = true;
  $("viewer-failed").hidden = false;
  $("viewer-why").textContent = String(error.message || error);
  if ($("still")) delete $("still").dataset.replaced;
  document.documentElement.dataset.viewer = "failed";
}

async function run() {
  try {
    if (!document.createElement("canvas").getContext("webgl2")) throw new Error("no WebGL 2");
    $("viewer").hidden = false;
    await new Promise((painted) => setTimeout(painted, 50));
    await start();
    listen();
    $("loading").remove();
    document.documentElement.dataset.viewer = "ready";
  } catch (error) {
    fail(error);
  }
}

// without scripts the still picture stays
if ($("still")) $("still").dataset.replaced = "";
// the text can be read while the scan is being unpacked
addEventListener("load", () => setTimeout(run));
