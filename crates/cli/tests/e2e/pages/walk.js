// Opens the addresses that come in as lines of JSON ({"address", "fill"?, "press"?}) in headless Chromium, at two widths,
// and says of each what a person would find there: a line of JSON each. Arguments: Chromium, the token.
"use strict";
const { chromium } = require("playwright-core");
const [executablePath, token] = process.argv.slice(2);

async function look(context, question) {
  const page = await context.newPage();
  const errors = [];
  page.on("pageerror", (e) => errors.push(String(e)));
  page.on("console", (m) => { if (m.type() === "error") errors.push(m.text()); });
  const answer = await page.goto(question.address, { waitUntil: "load" });
  // What is being looked into is shown when it is known: the page fetches itself.
  if (question.until) await page.waitForSelector(question.until, { timeout: 60000 });
  for (const [selector, text] of Object.entries(question.fill || {})) await page.fill(selector, text);
  if (question.press) {
    await page.locator(question.press).first().click();
    await page.waitForLoadState("load");
  }
  const found = await page.evaluate(() => {
    const named = (e) => (e.getAttribute("aria-label") || e.getAttribute("title") || e.textContent || "").trim();
    const labelled = (e) => e.labels?.length || e.getAttribute("aria-label");
    return {
      heading: document.querySelector("h1")?.innerText || "",
      headings: [...document.querySelectorAll("h2")].map((e) => e.innerText),
      text: document.querySelector("main").innerText,
      links: [...document.querySelectorAll("main a[href]")].map((e) => e.getAttribute("href")),
      overflows: document.documentElement.scrollWidth > innerWidth + 1,
      nameless: [...document.querySelectorAll("a, button")].filter((e) => !named(e)).length,
      unlabelled: [...document.querySelectorAll("input:not([type=hidden]), select, textarea")].filter((e) => !labelled(e)).length,
      bare: [...document.querySelectorAll("main table")].filter((e) => !e.caption).length,
    };
  });
  await page.close();
  return { status: answer.status(), address: page.url(), errors, ...found };
}

(async () => {
  const lines = require("fs").readFileSync(0, "utf8").split("\n").filter(Boolean).map((line) => JSON.parse(line));
  const browser = await chromium.launch({ executablePath, args: ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"] });
  const contexts = [];
  for (const width of [1280, 390]) {
    contexts.push(await browser.newContext({
      viewport: { width, height: 900 },
      extraHTTPHeaders: { authorization: `Bearer ${token}` },
    }));
  }
  for (const question of lines) {
    const wide = await look(contexts[0], question);
    // What changes something is done once.
    const narrow = question.press ? wide : await look(contexts[1], question);
    console.log(JSON.stringify({ ...wide, overflows: wide.overflows || narrow.overflows, errors: [...wide.errors, ...narrow.errors] }));
  }
  await browser.close();
})().catch((e) => { console.error(e); process.exit(1); });
