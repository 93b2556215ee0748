// Whether an event starts a workflow, as the documentation of events and filters says.

// Patterns become regular expressions here.
const matches = (pattern, text) => {
  let source = "";
  for (let i = 0; i < pattern.length; i++) {
    const c = pattern[i];
    if (pattern.startsWith("**/", i) && (i === 0 || pattern[i - 1] === "/")) {
      source += "(?:.*/)?";
      i += 2;
    } else if (pattern.startsWith("**", i)) {
      source += ".*";
      i += 1;
    } else if (c === "*") source += "[^/]*";
    else if (c === "?" || c === "+") source += c;
    else if (c === "[") {
      const end = pattern.indexOf("]", i);
      source += pattern.slice(i, end + 1);
      i = end;
    } else if (c === "\\") source += `\\${pattern[++i]}`;
    else source += c.replace(/[.^$(){}|\]]/, "\\$&");
  }
  return new RegExp(`^${source}$`, "su").test(text);
};

// The last pattern that matches decides.
const passes = (patterns, text) => {
  let found = false;
  for (const pattern of patterns) {
    if (pattern.startsWith("!")) found &&= !matches(pattern.slice(1), text);
    else found ||= matches(pattern, text);
  }
  return found;
};

const filtered = (config, kind, name) => {
  if (config[kind]) return passes(config[kind], name);
  const ignored = config[`${kind}-ignore`];
  return !ignored || !ignored.some((pattern) => matches(pattern, name));
};

const USUAL = ["opened", "synchronize", "reopened"];

/** Whether an event {name, ref, action, base, cron, workflow} starts a workflow with these triggers. */
export const starts = (events, event) => {
  const config = events[event.name];
  if (config === undefined) return false;
  switch (event.name) {
    case "push": {
      const [, kind, name] = /^refs\/(heads|tags)\/(.*)$/.exec(event.ref);
      const has = (what) => config[what] !== undefined || config[`${what}-ignore`] !== undefined;
      const [own, other] = kind === "heads" ? ["branches", "tags"] : ["tags", "branches"];
      return has(own) ? filtered(config, own, name) : !has(other);
    }
    case "pull_request":
    case "pull_request_target":
      return (config.types ?? USUAL).includes(event.action) && filtered(config, "branches", event.base);
    case "schedule":
      return config.some(({ cron }) => cron === event.cron);
    case "workflow_dispatch":
      return true;
    case "workflow_run":
      return config.workflows.includes(event.workflow) && (config.types ?? ["requested", "in_progress", "completed"]).includes(event.action) && filtered(config, "branches", event.base);
    default:
      return !config.types || !event.action || config.types.includes(event.action);
  }
};
