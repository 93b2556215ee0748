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
    const answer = await fetch(location.href, { headers: { accept: "text/html" } });
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

// A place on the page that an address names.
function show(id) {
  const line = id ? document.getElementById(id) : null;
  for (let e = line; e; e = e.parentElement) if (e.tagName === "DETAILS") e.open = true;
  line?.scrollIntoView({ block: "center" });
}
if (location.hash.length > 1 && !document.getElementById("log")) show(decodeURIComponent(location.hash.slice(1)));
document.querySelector(".tabs [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" });

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

// Commands to take along: without this they are marked and copied by hand.
for (const box of navigator.clipboard ? document.querySelectorAll(".copy") : []) {
  const button = document.createElement("button");
  button.type = "button";
  button.textContent = "Copy";
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(box.querySelector("pre").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
  box.append(button);
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
