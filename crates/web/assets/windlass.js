// What is live on the pages. Every page works without this file; it only saves reloading.
"use strict";

// Times: "3 min ago" and "took 12 s" move on.
function relative(ms) {
  const s = Math.floor(Math.abs(Date.now() - ms) / 1000), future = ms > Date.now();
  if (s < 5 && !future) return "just now";
  let text;
  if (s < 60) text = s + " s";
  else if (s < 3600) text = Math.floor(s / 60) + " min";
  else if (s < 86400) text = Math.floor(s / 3600) + " h";
  else if (s < 2592000) text = Math.floor(s / 86400) + (s < 172800 ? " day" : " days");
  else return new Date(ms).toISOString().slice(0, 10);
  return future ? "in " + text : text + " ago";
}
function span(ms) {
  const s = Math.floor(ms / 1000), two = (n) => String(n).padStart(2, "0");
  if (s < 60) return s + " s";
  if (s < 3600) return Math.floor(s / 60) + " m " + two(s % 60) + " s";
  return Math.floor(s / 3600) + " h " + two(Math.floor(s % 3600 / 60)) + " m";
}
function tick() {
  for (const e of document.querySelectorAll("time[data-t]")) {
    const text = relative(Number(e.dataset.t));
    if (e.textContent !== text) e.textContent = text;
  }
  for (const e of document.querySelectorAll("[data-since]")) e.textContent = span(Math.max(0, Date.now() - Number(e.dataset.since)));
}
setInterval(tick, 1000);

// Live regions: the page is fetched again and what changed is put in its place.
let fetching = false, again = false, last = "";
async function refresh() {
  if (fetching) { again = true; return; }
  fetching = true;
  try {
    const answer = await fetch(location.href, { headers: { "x-windlass-live": "1", accept: "text/html" } });
    if (answer.redirected && new URL(answer.url).pathname === "/sign-in") { location.reload(); return; }
    if (!answer.ok) return;
    const text = await answer.text();
    if (text !== last) { last = text; merge(new DOMParser().parseFromString(text, "text/html")); }
  } catch { /* The server is away for a moment: the next event or timer asks again. */ }
  finally {
    fetching = false;
    if (again) { again = false; setTimeout(refresh, 300); }
  }
}
function merge(fresh) {
  for (const list of fresh.querySelectorAll("[data-live-list]")) {
    const here = document.getElementById(list.id);
    if (!here) continue;
    for (const child of [...list.children]) if (child.id && !document.getElementById(child.id)) here.append(document.importNode(child, true));
    if (here.children.length) document.getElementById("nosteps")?.remove();
  }
  for (const part of fresh.querySelectorAll("[data-live]")) {
    const here = document.getElementById(part.id);
    if (!here || here.innerHTML === part.innerHTML) continue;
    // Whoever types into a part, or has chosen something in it, is not disturbed.
    if (here.contains(document.activeElement) && /^(INPUT|TEXTAREA|SELECT)$/.test(document.activeElement.tagName)) continue;
    const open = new Map([...here.querySelectorAll("details[id]")].map((d) => [d.id, d.open]));
    const focus = here.contains(document.activeElement) ? document.activeElement.id || document.activeElement.getAttribute("href") : null;
    here.innerHTML = part.innerHTML;
    for (const d of here.querySelectorAll("details[id]")) if (open.has(d.id)) d.open = open.get(d.id);
    if (focus) [...here.querySelectorAll("[id],[href]")].find((e) => e.id === focus || e.getAttribute("href") === focus)?.focus();
  }
  const follows = fresh.body.dataset.follows;
  if (!follows) stopFollowing();
}
let source = null, timer = null, waiting = null;
function follow() {
  const { follows, every } = document.body.dataset;
  if (!follows || document.hidden || source) return;
  const query = follows === "*" ? "" : "?project=" + encodeURIComponent(follows);
  source = new EventSource("/api/v1/events/stream" + query);
  source.onmessage = () => { clearTimeout(waiting); waiting = setTimeout(refresh, 250); };
  if (Number(every)) timer = setInterval(refresh, Number(every) * 1000);
}
function pause() { source?.close(); source = null; clearInterval(timer); }
function stopFollowing() { pause(); delete document.body.dataset.follows; }
document.addEventListener("visibilitychange", () => { if (document.hidden) pause(); else if (document.body.dataset.follows) { follow(); refresh(); } });
follow();

// A job's log: read on from where the page stands.
const log = document.querySelector("[data-log]");
// Beyond this many bytes a browser grows slow: the raw log is the better reader.
const LONGEST = 12e6;
async function readOn() {
  const d = log.dataset;
  if (d.ended === "true" || document.hidden) return;
  const answer = await fetch(`${d.log}?offset=${d.offset}&line=${d.line}&inside=${d.inside}`);
  if (!answer.ok) return;
  const part = await answer.json();
  let missing = false;
  for (const piece of part.pieces) {
    const lines = log.querySelector(`.lines[data-step="${piece.step}"]`);
    if (!lines) { missing = piece.step !== 0; if (missing) break; continue; }
    const group = piece.inside ? [...lines.querySelectorAll(":scope > details.grp")].at(-1) : null;
    (group || lines).insertAdjacentHTML("beforeend", piece.html);
    const step = lines.closest("details.step");
    if (step && wantsFollow()) step.open = true;
  }
  if (missing) { await refresh(); return; }
  Object.assign(d, { offset: part.next.offset, line: part.next.line, inside: part.next.inside, ended: part.ended && !part.more });
  if (part.pieces.length) {
    find();
    if (wantsFollow()) [...log.querySelectorAll("details.step[open] .lines > :last-child")].at(-1)?.scrollIntoView({ block: "nearest" });
  }
  if (part.more && Number(d.offset) < LONGEST) return readOn();
  if (!part.more) document.getElementById("more")?.remove();
}
function wantsFollow() { return document.getElementById("follow").checked && !location.hash; }
let reading = false;
async function keepReading() {
  if (reading) return;
  reading = true;
  try { await readOn(); } catch { /* Asked again in a second. */ } finally { reading = false; }
}
function show(id) {
  const line = id ? document.getElementById(id) : null;
  for (let e = line; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  if (line?.tagName === "DETAILS") line.open = true;
  line?.scrollIntoView({ block: "center" });
}
let wanted = "";
function find() {
  const count = document.getElementById("logfound");
  for (const m of log.querySelectorAll("mark")) m.replaceWith(m.firstChild);
  let hits = 0;
  for (const line of log.querySelectorAll(".l")) {
    const text = line.querySelector(":scope > span"), fits = wanted && text.textContent.toLowerCase().includes(wanted);
    line.classList.toggle("no", Boolean(wanted) && !fits);
    if (fits) { hits += 1; if (hits <= 2000) highlight(text); }
  }
  for (const group of log.querySelectorAll(".grp")) {
    const any = group.querySelector(".l:not(.no)");
    group.classList.toggle("no", !any);
    if (wanted && any) group.open = true;
  }
  if (wanted) for (const step of log.querySelectorAll("details.step")) step.open = Boolean(step.querySelector(".l:not(.no)"));
  count.textContent = wanted ? (hits === 1 ? "1 line" : hits + " lines") : "";
}
function highlight(span) {
  span.normalize();
  const walker = document.createTreeWalker(span, NodeFilter.SHOW_TEXT), nodes = [];
  while (walker.nextNode()) nodes.push(walker.currentNode);
  for (const node of nodes) {
    const at = node.data.toLowerCase().indexOf(wanted);
    if (at < 0) continue;
    const hit = node.splitText(at);
    hit.splitText(wanted.length);
    const mark = document.createElement("mark");
    hit.replaceWith(mark);
    mark.append(hit);
  }
}
if (log) {
  keepReading().then(() => show(location.hash.slice(1)));
  setInterval(keepReading, 1000);
  // Whoever turns back to read is left where they are.
  addEventListener("wheel", (e) => { if (e.deltaY < 0) document.getElementById("follow").checked = false; }, { passive: true });
  addEventListener("hashchange", () => show(location.hash.slice(1)));
  let delay;
  document.getElementById("logfind").addEventListener("input", (e) => {
    clearTimeout(delay);
    delay = setTimeout(() => { wanted = e.target.value.toLowerCase(); find(); }, 150);
  });
} else if (location.hash.length > 1) show(decodeURIComponent(location.hash.slice(1)));

// A service's log: follow it.
const out = document.getElementById("out");
async function tail() {
  if (document.hidden || !document.getElementById("tail").checked) return;
  const d = out.dataset;
  const answer = await fetch(d.tail + (d.cursor ? "&after=" + encodeURIComponent(d.cursor) : ""));
  if (!answer.ok) return;
  const lines = await answer.json(), box = document.getElementById("outlines");
  const atEnd = innerHeight + scrollY >= document.body.scrollHeight - 80;
  for (const line of lines) {
    const row = document.createElement("div"), time = document.createElement("time"), who = document.createElement("span"), text = document.createElement("span");
    row.className = line.stream === "stderr" ? "o err" : "o";
    time.textContent = new Date(line.at).toISOString().slice(11, 23);
    time.title = new Date(line.at).toISOString();
    who.className = "who"; who.textContent = line.instance.slice(-8); who.title = line.instance;
    // Colours come with the next load of the page; until then the codes are left out.
    text.className = "text"; text.textContent = line.text.replace(/\x1b\[[0-9;:?]*[@-~]/g, "");
    row.append(time, who, text);
    box.append(row);
    d.cursor = line.cursor;
  }
  while (box.children.length > 5000) box.firstChild.remove();
  if (lines.length) { document.getElementById("noout").hidden = true; if (atEnd) scrollTo(0, document.body.scrollHeight); }
}
if (out) {
  let busy = false;
  if (document.getElementById("tail").checked && out.dataset.cursor) scrollTo(0, document.body.scrollHeight);
  setInterval(async () => { if (busy) return; busy = true; try { await tail(); } catch { /* Asked again. */ } finally { busy = false; } }, 1500);
}

// Forms that should be thought about twice.
document.addEventListener("submit", (e) => {
  const question = e.target.dataset.confirm;
  if (question && !confirm(question)) e.preventDefault();
});

// Keys: / to search, j and k through a list, Enter opens.
document.addEventListener("keydown", (e) => {
  if (e.ctrlKey || e.metaKey || e.altKey || /^(INPUT|TEXTAREA|SELECT)$/.test(e.target.tagName)) return;
  if (e.key === "/") {
    const field = document.getElementById("logfind") || document.querySelector(".filters input") || document.getElementById("find");
    if (field) { e.preventDefault(); field.focus(); }
  } else if (e.key === "j" || e.key === "k") {
    const rows = [...document.querySelectorAll(".rows > .row")].filter((r) => r.querySelector(".title"));
    if (!rows.length) return;
    const at = rows.findIndex((r) => r.contains(document.activeElement));
    const next = rows[at < 0 ? 0 : Math.min(rows.length - 1, Math.max(0, at + (e.key === "j" ? 1 : -1)))];
    next.querySelector(".title").focus();
  }
});
