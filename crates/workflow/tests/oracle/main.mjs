import { register } from "node:module";

register("./hooks.mjs", import.meta.url);
await import(process.argv[2] ?? "./check.mjs");
