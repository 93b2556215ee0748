// Reads workflows, one JSON object {name, content} a line, and says what GitHub's own parser finds in each.
import { createInterface } from "node:readline";
import { NoOperationTraceWriter, convertWorkflowTemplate, parseWorkflow } from "@actions/workflow-parser";

for await (const line of createInterface({ input: process.stdin })) {
  const { name, content } = JSON.parse(line);
  let errors;
  try {
    const { context, value } = parseWorkflow({ name, content }, new NoOperationTraceWriter());
    if (value) await convertWorkflowTemplate(context, value);
    errors = context.errors.getErrors().map((error) => error.message);
  } catch (error) {
    errors = [`the parser failed: ${error.message}`];
  }
  console.log(JSON.stringify({ name, errors }));
}
