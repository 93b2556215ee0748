// A job's log. Only what is in view is here: lines are fetched as they come into view, so that a log of a million lines
// opens as fast as one of ten.
"use strict";
(() => {
const box = document.getElementById("log");
if (!box) return;
// A row's height and the tallest box that browsers draw well, in pixels; lines fetched at a time; fetched pieces kept.
const H = 20, TALLEST = 6e6, PIECE = 200, KEPT = 60, MOST_HITS = 5000;
const view = document.getElementById("logview"), space = document.getElementById("logspace"), rows = document.getElementById("logrows");
const follow = document.getElementById("follow"), wrap = document.getElementById("wrap"), field = document.getElementById("logfind"), found = document.getElementById("logfound");
let shape = null, items = [], total = 0, pos = 0, drawn = "", range = null;
// What somebody opened or closed by hand, and the groups that are open.
const chosen = new Map(), unfolded = new Set(), auto = new Set();

function isOpen(step) { return chosen.has(step.number) ? chosen.get(step.number) : step.open || auto.has(step.number); }

// Rows, in order: a step's head, which is two rows high, or lines `from` to `to`.
function layout() {
  items = [];
  let row = 0, at = 1, g = 0;
  const put = (item, count) => { if (count > 0) { item.row = row; items.push(item); row += count; } };
  const lines = (from, to) => {
    const groups = shape.groups;
    while (g < groups.length && groups[g].last < from) g += 1;
    for (; g < groups.length && groups[g].first <= to; g += 1) {
      const group = groups[g];
      if (!unfolded.has(group.first)) { put({ from, to: group.first, fold: group }, group.first - from + 1); from = group.last + 1; }
      else if (group.marked) { put({ from, to: group.last - 1 }, group.last - from); from = group.last + 1; }
    }
    put({ from, to }, to - from + 1);
  };
  for (const step of shape.steps) {
    if (step.first > at) { lines(at, step.first - 1); at = step.first; }
    put({ step }, 2);
    if (step.last >= step.first && step.first) {
      if (isOpen(step)) lines(Math.max(at, step.first), step.last);
      at = Math.max(at, step.last + 1);
    }
  }
  lines(at, shape.lines);
  total = row;
  drawn = "";
  if (whole()) return;
  const tall = height();
  space.style.height = Math.min(tall, TALLEST) + "px";
  pos = Math.min(pos, Math.max(0, tall - view.clientHeight));
}
// A short log whose lines wrap is drawn whole: it has the height that it has.
function whole() { return wrap.checked && total <= 300; }
function height() { if (whole()) return rows.offsetHeight; return heightOfRows(); }
function heightOfRows() { return wrap.checked ? Math.max(0, total - 1) * H + Math.min(view.clientHeight || H, total * H * 4) : total * H; }
function scale() {
  if (whole()) return 1;
  const tall = height();
  return tall > TALLEST ? (TALLEST - view.clientHeight) / (tall - view.clientHeight) : 1;
}
function itemAt(row) {
  let low = 0, high = items.length - 1;
  while (low < high) { const middle = (low + high + 1) >> 1; if (items[middle].row <= row) low = middle; else high = middle - 1; }
  return items[low];
}
function rowOf(line) {
  const item = items.find((i) => i.from <= line && line <= i.to);
  return item ? item.row + line - item.from : -1;
}
function groupOf(line) { return shape.groups.find((g) => g.first <= line && line <= g.last); }

// Lines, in pieces of PIECE.
const pieces = new Map(), asked = new Set();
function lineOf(number) {
  const k = Math.floor((number - 1) / PIECE), piece = pieces.get(k), line = piece?.[(number - 1) % PIECE];
  if (!line) wanted.add(k);
  else { pieces.delete(k); pieces.set(k, piece); }
  return line;
}
let wanted = new Set(), fetching = null;
function fetchWanted() {
  clearTimeout(fetching);
  fetching = setTimeout(async () => {
    for (const k of wanted) {
      if (asked.has(k) || asked.size >= 3) continue;
      asked.add(k);
      fetch(`${box.dataset.log}/lines?from=${k * PIECE + 1}&count=${PIECE}`)
        .then((answer) => (answer.ok ? answer.json() : null))
        .then((part) => {
          if (!part) return;
          pieces.set(k, part.lines);
          while (pieces.size > KEPT) pieces.delete(pieces.keys().next().value);
        })
        .catch(() => {})
        .finally(() => { asked.delete(k); drawn = ""; draw(); });
    }
  }, 20);
}

// Drawing.
function draw() {
  if (!shape) return;
  if (whole()) {
    if (drawn !== "whole") fill(0, total, "whole");
    rows.style.transform = "";
    space.style.height = rows.offsetHeight + "px";
    return;
  }
  const shown = Math.ceil(view.clientHeight / H) + 1, first = Math.min(Math.max(0, Math.floor(pos / H)), Math.max(0, total - 1));
  const before = wrap.checked ? 0 : Math.min(first, 8), to = Math.min(total, first + shown + 8);
  let from = first - before;
  const top = itemAt(from), tall = top?.step ? 2 : 1;
  if (top?.step) from = top.row;
  const key = `${from}-${to}`;
  if (key !== drawn) fill(from, to, key);
  const into = wrap.checked ? (pos / H - from) / tall * (rows.firstElementChild?.offsetHeight || H) : pos - from * H;
  rows.style.transform = `translateY(${Math.round(view.scrollTop - into)}px)`;
}
function fill(from, to, key) {
  drawn = key;
  wanted = new Set();
  const focus = document.activeElement?.closest?.("#logrows [data-step]")?.dataset.step;
  const parts = [];
  for (let row = from; row < to; row += itemAt(row).step ? 2 : 1) parts.push(element(row));
  rows.replaceChildren(...parts);
  if (focus) rows.querySelector(`[data-step="${focus}"]`)?.focus({ preventScroll: true });
  if (wanted.size) fetchWanted();
}
function element(row) {
  const item = itemAt(row), div = document.createElement("div");
  if (item.step) {
    const step = item.step, some = step.last >= step.first && step.first > 0;
    div.className = "step-row";
    div.dataset.step = step.number;
    if (some) { div.tabIndex = 0; div.setAttribute("role", "button"); div.setAttribute("aria-expanded", isOpen(step)); }
    div.innerHTML = `<span class="caret">${some ? (isOpen(step) ? "▾" : "▸") : ""}</span>${step.mark}<span class="name"></span><span class="dim num">${step.took}</span>`;
    div.querySelector(".name").textContent = step.name;
    return div;
  }
  const number = item.from + row - item.row, line = lineOf(number);
  div.className = "l " + (line ? line.class : "");
  div.dataset.line = number;
  const fold = line?.class === "grp" ? groupOf(number) : null;
  const link = document.createElement("a"), time = document.createElement("time"), text = document.createElement("span");
  link.href = "#L" + number; link.textContent = number;
  time.textContent = line ? line.time : "";
  if (line) text.innerHTML = line.html;
  if (fold && fold.last > fold.first) { div.dataset.fold = number; text.prepend(unfolded.has(number) ? "▾ " : "▸ "); }
  else { const inside = groupOf(number); if (inside && inside.first < number) div.classList.add("in"); }
  if (range && number >= range[0] && number <= range[1]) div.classList.add("at");
  if (looked && line) highlight(text, looked);
  if (hits[hit] === number) div.classList.add("hit");
  div.append(link, time, text);
  return div;
}
// Brings a row into view, `above` pixels below the upper edge.
function bring(row, above) {
  if (!whole()) { moveTo(row * H - above); return; }
  draw();
  const item = itemAt(row), place = item.step ? `[data-step="${item.step.number}"]` : `[data-line="${item.from + row - item.row}"]`;
  const found = rows.querySelector(place);
  if (found) view.scrollTop = found.offsetTop - above;
}
function moveTo(next) {
  if (whole()) { draw(); view.scrollTop = next; pos = view.scrollTop; return; }
  const most = Math.max(0, height() - view.clientHeight);
  pos = Math.min(Math.max(0, next), most);
  own = true;
  view.scrollTop = pos * scale();
  draw();
}
let own = false, touched = 0;
for (const kind of ["pointerdown", "pointermove", "touchmove"]) view.addEventListener(kind, (e) => { if (kind !== "pointermove" || e.buttons) touched = Date.now(); }, { passive: true });
view.addEventListener("scroll", () => {
  if (own) { own = false; draw(); return; }
  const next = view.scrollTop / scale();
  // Only whoever drags the log or its bar back wants to stay there: it also moves when a step folds.
  if (next < pos - 1 && Date.now() - touched < 1500) follow.checked = false;
  pos = next;
  draw();
});
// On a log that is taller than any box, a pixel of the bar is many lines: wheel and keys move by lines all the same.
view.addEventListener("wheel", (e) => {
  if (e.deltaY < 0) follow.checked = false;
  if (scale() === 1 || !e.deltaY) return;
  e.preventDefault();
  moveTo(pos + (e.deltaMode === 1 ? e.deltaY * H : e.deltaY));
}, { passive: false });
view.addEventListener("keydown", (e) => {
  const step = { ArrowDown: H, ArrowUp: -H, PageDown: view.clientHeight - H, PageUp: H - view.clientHeight, Home: -Infinity, End: Infinity }[e.key];
  const head = e.target.closest("[data-step]");
  if (head && (e.key === "Enter" || e.key === " ")) { e.preventDefault(); toggleStep(Number(head.dataset.step)); }
  else if (step !== undefined && !e.ctrlKey && !e.metaKey) { e.preventDefault(); if (step < 0) follow.checked = false; moveTo(Number.isFinite(step) ? pos + step : step < 0 ? 0 : height()); }
});
addEventListener("resize", () => { drawn = ""; if (shape) { layout(); draw(); } });

function toggleStep(number) {
  const step = shape.steps.find((s) => s.number === number);
  chosen.set(number, !isOpen(step));
  layout(); draw();
}
rows.addEventListener("click", (e) => {
  const link = e.target.closest(".l > a"), head = e.target.closest("[data-step]"), fold = e.target.closest("[data-fold]");
  if (link && e.shiftKey && range) {
    e.preventDefault();
    const line = Number(link.textContent);
    location.hash = `L${Math.min(range[0], line)}-L${Math.max(range[0], line)}`;
  } else if (link || getSelection().toString()) return;
  else if (head) toggleStep(Number(head.dataset.step));
  else if (fold) {
    const line = Number(fold.dataset.fold);
    if (!unfolded.delete(line)) unfolded.add(line);
    layout(); draw();
  }
});

// Places.
function reveal(line) {
  const step = shape.steps.find((s) => s.first <= line && line <= s.last), group = groupOf(line);
  if (step && !isOpen(step)) chosen.set(step.number, true);
  if (group && group.first < line) unfolded.add(group.first);
  layout();
  const row = rowOf(line);
  if (row >= 0) bring(row, view.clientHeight / 3);
}
function goThere() {
  const place = location.hash.match(/^#L(\d+)(?:-L(\d+))?$/), step = location.hash.match(/^#step-(\d+)$/);
  range = place ? [Number(place[1]), Number(place[2] || place[1])] : null;
  drawn = "";
  if (place) { follow.checked = false; reveal(Math.min(range[0], shape.lines)); }
  else if (step) {
    chosen.set(Number(step[1]), true);
    layout();
    const item = items.find((i) => i.step?.number === Number(step[1]));
    if (item) { follow.checked = false; bring(item.row, 0); }
  } else draw();
}
addEventListener("hashchange", () => { if (shape) goThere(); });

// Looking for a text.
let looked = "", hits = [], hit = -1, more = false, search = null;
async function look() {
  search?.abort();
  search = new AbortController();
  const { signal } = search;
  looked = field.value.trim().toLowerCase(); hits = []; hit = -1; drawn = "";
  if (!looked) { found.textContent = ""; draw(); return; }
  found.textContent = "…";
  let next = 1;
  try {
    while (next && hits.length < MOST_HITS) {
      const answer = await fetch(`${box.dataset.api}/search?limit=500&from=${next}&q=${encodeURIComponent(looked)}`, { signal });
      if (!answer.ok) { found.textContent = (await answer.json()).detail; return; }
      const part = await answer.json(), before = hits.length;
      for (const one of part.hits) hits.push(one.line);
      next = part.next;
      if (!before && hits.length) {
        const top = itemAt(Math.floor(pos / H)), line = top?.from ? top.from + Math.floor(pos / H) - top.row : top?.step?.first || 1;
        const near = hits.findIndex((n) => n >= line);
        jump(near < 0 ? 0 : near);
      }
      more = Boolean(next);
      tell(more);
    }
  } catch { /* Another search took its place. */ }
}
function tell(more) {
  const count = hits.length + (more ? "+" : "");
  found.textContent = hits.length ? `${hit + 1} of ${count}` : more ? "…" : "nothing";
}
function jump(to) {
  if (!hits.length) return;
  hit = (to + hits.length) % hits.length;
  follow.checked = false;
  drawn = "";
  reveal(hits[hit]);
  tell(more);
}
function highlight(span, text) {
  const walker = document.createTreeWalker(span, NodeFilter.SHOW_TEXT), nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (let node of nodes) {
    for (let at; (at = node.data.toLowerCase().indexOf(text)) >= 0;) {
      const match = node.splitText(at);
      node = match.splitText(text.length);
      const mark = document.createElement("mark");
      match.replaceWith(mark);
      mark.append(match);
    }
  }
}
let delay;
field.addEventListener("input", () => { clearTimeout(delay); delay = setTimeout(look, 250); });
field.addEventListener("keydown", (e) => {
  if (e.key === "Enter") { e.preventDefault(); if (looked !== field.value.trim().toLowerCase()) look(); else jump(hit + (e.shiftKey ? -1 : 1)); }
  else if (e.key === "Escape") { field.value = ""; look(); view.focus(); }
});
document.getElementById("lognext").addEventListener("click", () => jump(hit + 1));
document.getElementById("logprevious").addEventListener("click", () => jump(hit - 1));
document.getElementById("times").addEventListener("change", (e) => box.classList.toggle("timed", e.target.checked));
wrap.checked = matchMedia("(max-width: 40rem)").matches;
function wrapping() { box.classList.toggle("wrapped", wrap.checked); drawn = ""; if (shape) { layout(); draw(); } }
wrap.addEventListener("change", wrapping);

// The shape, now and while the job goes on.
async function grow() {
  const answer = await fetch(`${box.dataset.log}/shape`);
  if (!answer.ok) return;
  const fresh = await answer.json(), start = shape === null;
  if (shape && fresh.lines !== shape.lines) pieces.delete(Math.floor((shape.lines || 1) / PIECE) - (shape.lines % PIECE ? 0 : 1)), pieces.delete(Math.floor(Math.max(0, shape.lines - 1) / PIECE));
  const same = shape && JSON.stringify(fresh) === JSON.stringify(shape);
  shape = fresh;
  if (same) return;
  auto.clear();
  if (follow.checked) for (const step of shape.steps) if (step.running) auto.add(step.number);
  document.getElementById("logempty").hidden = shape.steps.length > 0 || shape.lines > 0;
  layout();
  if (start && location.hash) goThere();
  else if (follow.checked && !shape.ended) moveTo(height());
  else { drawn = ""; draw(); }
}
async function keepGrowing() {
  try { if (!document.hidden || !shape) await grow(); } catch { /* Asked again. */ }
  if (!shape?.ended) setTimeout(keepGrowing, 1000);
}
wrapping();
keepGrowing();
})();
