// The package imports its schema as JSON without saying so, which newer versions of Node refuse.
export async function load(url, context, next) {
  if (url.endsWith(".json")) return next(url, { ...context, importAttributes: { type: "json" } });
  return next(url, context);
}
