// Plans runs as GitHub's documentation says they go: reads one JSON object a line, {file, files, github, inputs, vars,
// outputs, event}, and answers {runs, jobs} or {error}. Workflows are read by @actions/workflow-parser, expressions are
// evaluated by @actions/expressions; what starts a workflow, how a matrix is expanded, what is skipped and what jobs are
// called is written here anew, after the documentation, and shares nothing with what is tested.
import { createInterface } from "node:readline";
import * as parser from "@actions/workflow-parser";
import { Evaluator, Lexer, Parser, data } from "@actions/expressions";
import { equals, truthy } from "@actions/expressions/result";
import { matrixOf, suffixOf } from "./matrix.mjs";
import { starts } from "./starts.mjs";

const STATUS = ["success", "failure", "always", "cancelled"];
const CONTEXTS = ["github", "inputs", "vars", "needs", "strategy", "matrix", "secrets", "env", "jobs", "job", "runner", "steps"];

const toData = (value) => JSON.parse(JSON.stringify(value ?? null), data.reviver);

const toPlain = (value) => {
  switch (value.kind) {
    case data.Kind.Null:
      return null;
    case data.Kind.Array:
      return value.values().map(toPlain);
    case data.Kind.Dictionary:
      return Object.fromEntries(value.pairs().map(({ key, value }) => [key, toPlain(value)]));
    default:
      return value.value;
  }
};

/** Text as expressions give it. */
export const toText = (value) => toData(value).coerceString();

/** Loose equality of two plain scalars, as expressions have it. */
export const looselyEqual = (one, other) => equals(toData(one), toData(other));

// The value of an expression's text.
const evaluate = (text, { contexts, status }) => {
  const functions = STATUS.map((name) => ({ name, description: "", minArgs: 0, maxArgs: 255 }));
  const tree = new Parser(new Lexer(text).lex().tokens, CONTEXTS, functions).parse();
  const all = new data.Dictionary(...CONTEXTS.map((key) => ({ key, value: toData(contexts[key]) })));
  const call = (name) => ({ name, minArgs: 0, maxArgs: 255, call: (...keys) => new data.BooleanData(status(name, keys.map((key) => key.coerceString()))) });
  return new Evaluator(tree, all, new Map(STATUS.map((name) => [name, call(name)]))).evaluate();
};

// The plain value of a piece of a workflow.
const valueOf = (token, scope) => {
  if (token === undefined || parser.isNull?.(token)) return null;
  if (parser.isBasicExpression(token)) return toPlain(evaluate(token.expression, scope));
  if (parser.isSequence(token)) return [...token].map((item) => valueOf(item, scope));
  if (parser.isMapping(token)) {
    const entries = [];
    for (const { key, value } of token) {
      const name = parser.isString(key) ? key.value : toText(valueOf(key, scope));
      entries.push([name, valueOf(value, scope)]);
    }
    return Object.fromEntries(entries);
  }
  return token.value ?? null;
};

// The package cannot convert a job whose whole `env` is an expression, which GitHub runs; no plan depends on it.
const withoutComputedEnv = (root) => {
  for (const { value: job } of entry(root, "jobs") ?? []) {
    const place = parser.isMapping(job) ? [...job].findIndex(({ key, value }) => key.value === "env" && parser.isBasicExpression(value)) : -1;
    if (place >= 0) job.remove(place);
  }
};

const read = async (file, files) => {
  const content = files[file];
  if (content === undefined) throw new Error(`${file} is not there`);
  const { context, value } = parser.parseWorkflow({ name: file, content }, new parser.NoOperationTraceWriter());
  if (value) withoutComputedEnv(value);
  const template = value && (await parser.convertWorkflowTemplate(context, value));
  const errors = context.errors.getErrors();
  if (errors.length > 0) throw new Error(`${file}: ${errors.map((error) => error.message).join("; ")}`);
  return { template, root: value };
};

const entry = (mapping, name) => {
  if (!mapping || !parser.isMapping(mapping)) return undefined;
  for (const { key, value } of mapping) if (parser.isString(key) && key.value.toLowerCase() === name) return value;
  return undefined;
};

// All jobs that a job needs, directly or not.
const ancestors = (job, byKey, found = new Set()) => {
  for (const need of job.needs) {
    if (!found.has(need)) ancestors(byKey.get(need), byKey, found.add(need));
  }
  return found;
};

const worst = (conclusions) => {
  const order = ["failure", "cancelled", "success", "skipped"];
  return order.find((one) => conclusions.includes(one)) ?? "success";
};

// The inputs of a called workflow: what is given, else the default, else nothing of its type.
const calledInputs = (definitions, given, scope) => {
  const inputs = {};
  for (const { key, value } of definitions ?? []) {
    const type = entry(value, "type")?.value;
    const own = Object.entries(given).find(([name]) => name.toLowerCase() === key.value.toLowerCase());
    const fallback = entry(value, "default");
    let found = own ? own[1] : fallback && valueOf(fallback, scope);
    found ??= { boolean: false, number: 0 }[type] ?? "";
    inputs[key.value] = type === "string" ? toText(found) : found;
  }
  return inputs;
};

// Everything that becomes of one workflow; `prefix` are the names of the jobs that called it.
const carryOut = async (request, file, inputs, prefix, above) => {
  const { template, root } = await read(file, request.files);
  const declared = new Map();
  for (const { key, value } of entry(root, "jobs")) declared.set(key.value, value);
  const jobs = template.jobs.map((job) => ({ job, key: job.id.value, needs: (job.needs ?? []).map((need) => need.value) }));
  const byKey = new Map(jobs.map((one) => [one.key, one]));
  const base = { github: request.github, inputs, vars: request.vars };
  const list = [];
  const ended = new Map();
  while (ended.size < jobs.length) {
    for (const one of jobs.filter(({ key, needs }) => !ended.has(key) && needs.every((need) => ended.has(need)))) {
      const needs = Object.fromEntries(one.needs.map((need) => [need, ended.get(need)]));
      const before = [...ancestors(one, byKey)].map((key) => ended.get(key).result);
      const status = (name, keys) => {
        const results = keys.length > 0 ? keys.map((key) => ended.get(key)?.result) : before;
        switch (name) {
          case "success":
            return results.every((result) => result === "success");
          case "failure":
            return results.some((result) => result === "failure");
          default:
            return name === "always";
        }
      };
      const scope = { contexts: { ...base, needs }, status };
      let outcome;
      try {
        outcome = await carryOutJob(request, file, one, scope, prefix, declared.get(one.key));
      } catch (error) {
        outcome = { list: [{ key: one.key, conclusion: "failure", why: error.message }], result: "failure", outputs: {} };
      }
      list.push(...outcome.list);
      ended.set(one.key, { result: outcome.result, outputs: outcome.outputs });
    }
  }
  const outputs = {};
  if (above) {
    const scope = { contexts: { ...base, jobs: Object.fromEntries(ended) }, status: () => false };
    for (const { key, value } of entry(entry(entry(root, "on"), "workflow_call"), "outputs") ?? []) {
      const text = toText(valueOf(entry(value, "value"), scope));
      if (text !== "") outputs[key.value] = text;
    }
  }
  return { list, outputs, result: worst([...ended.values()].map(({ result }) => result)) };
};

const carryOutJob = async (request, file, { job, key }, scope, prefix, declared) => {
  if (job.if && !truthy(evaluate(job.if.expression, scope))) {
    return { list: [{ key, conclusion: "skipped" }], result: "skipped", outputs: {} };
  }
  const strategy = valueOf(job.strategy, scope) ?? {};
  const legs = matrixOf(strategy.matrix ?? null);
  const list = [];
  const results = [];
  const outputs = {};
  for (const [index, leg] of legs.entries()) {
    const contexts = {
      ...scope.contexts,
      matrix: leg?.values ?? null,
      strategy: { "job-index": index, "job-total": legs.length, "fail-fast": strategy["fail-fast"] ?? true, "max-parallel": strategy["max-parallel"] ?? legs.length },
    };
    const own = { ...scope, contexts };
    // A name with an expression says all; a plain one gains the leg's values.
    const named = job.name === undefined ? key : toText(valueOf(job.name, own));
    const computed = job.name !== undefined && parser.isBasicExpression(job.name);
    const name = prefix + (leg && !computed ? named + suffixOf(leg) : named).replace(/^([\s\S]{97})[\s\S]{4,}$/u, "$1...");
    if (job.type === "reusableWorkflowJob") {
      const path = job.ref.value.replace(/^(\.|\$)\//, "");
      const called = await read(path, request.files);
      const definitions = entry(entry(entry(called.root, "on"), "workflow_call"), "inputs");
      const given = valueOf(entry(declared, "with"), own) ?? {};
      const inner = await carryOut(request, path, calledInputs(definitions, given, own), `${name} / `, true);
      list.push({ key, name, conclusion: inner.result, call: true }, ...inner.list);
      results.push(inner.result === "skipped" ? "success" : inner.result);
      Object.assign(outputs, inner.outputs);
      continue;
    }
    const runsOn = valueOf(job["runs-on"], own);
    const labels = Array.isArray(runsOn) ? runsOn : runsOn !== null && typeof runsOn === "object" ? [runsOn.labels ?? []].flat() : [runsOn];
    // No runner has a label that is nothing: the job fails.
    if (labels.some((label) => !label)) throw new Error("a label is empty");
    const environment = valueOf(job.environment, own);
    const group = valueOf(job.concurrency, own);
    list.push({
      key,
      name,
      conclusion: "success",
      matrix: leg?.values ?? null,
      labels,
      environment: (typeof environment === "object" ? environment?.name : environment) || null,
      group: (typeof group === "object" ? group?.group : group) ?? null,
    });
    results.push("success");
    const given = request.outputs[file]?.[key] ?? {};
    for (const { key: output } of job.outputs ?? []) if (given[output.value]) outputs[output.value] = given[output.value];
  }
  return { list, result: worst(results), outputs };
};

for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  let answer;
  try {
    const { template } = await read(request.file, request.files);
    answer = { runs: starts(template.events, request.event) };
    if (answer.runs) answer.jobs = (await carryOut(request, request.file, request.inputs, "", false)).list;
  } catch (error) {
    answer = { error: error.message };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
