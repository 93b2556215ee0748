// Answers each line {"expr", "context"} of standard input by {"value"} or {"error"}, as the package @actions/expressions
// sees it; "parsed" tells whether the text was one. Numbers that JSON cannot say are written {"$number": "NaN"}.
import { createInterface } from "node:readline";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const module = join(process.argv[2], "node_modules/@actions/expressions/dist/index.js");
const { Evaluator, Lexer, Parser, data } = await import(pathToFileURL(module));

const plain = (value) => {
  switch (value.kind) {
    case data.Kind.Null:
      return null;
    case data.Kind.Number:
      return Number.isFinite(value.value) ? value.value : { $number: String(value.value) };
    case data.Kind.Array:
      return value.values().map(plain);
    case data.Kind.Dictionary:
      return Object.fromEntries(value.pairs().map(({ key, value }) => [key, plain(value)]));
    default:
      return value.value;
  }
};

for await (const line of createInterface({ input: process.stdin })) {
  let answer;
  let parsed = false;
  try {
    const { expr, context } = JSON.parse(line);
    const contexts = JSON.parse(JSON.stringify(context), data.reviver);
    const tree = new Parser(new Lexer(expr).lex().tokens, Object.keys(context), []).parse();
    if (tree === undefined) throw new Error("nothing there");
    parsed = true;
    answer = { value: plain(new Evaluator(tree, contexts).evaluate()) };
  } catch (error) {
    answer = { error: String(error.message), parsed };
  }
  process.stdout.write(JSON.stringify(answer) + "\n");
}
