// promptfoo: one prompt, one variable, the assertion `contains`; its cache and what it writes are off.
import { createRequire } from "node:module";
import { pathToFileURL } from "node:url";

const [address, atOnce, examples, packages, question] = process.argv.slice(2);
const entry = createRequire(`${packages}/`).resolve("promptfoo");
const promptfoo = (await import(pathToFileURL(entry).href)).default;
const suite = {
  prompts: ["{{question}}"],
  providers: [{ id: "openai:chat:scripted", config: { apiBaseUrl: address, apiKey: "none" } }],
  tests: Array.from({ length: Number(examples) }, (_, number) => ({
    vars: { question: question.replace("{}", number) },
    assert: [{ type: "contains", value: "Seth" }],
  })),
  writeLatestResults: false,
};
const begun = performance.now();
const cpu = process.cpuUsage();
const evaluated = await promptfoo.evaluate(suite, { maxConcurrency: Number(atOnce), cache: false, showProgressBar: false });
const seconds = (performance.now() - begun) / 1000;
const { user, system } = process.cpuUsage(cpu);
const summary = await evaluated.toEvaluateSummary();
const megabytes = process.resourceUsage().maxRSS / 1000;
console.log(JSON.stringify({ seconds, cpu: (user + system) / 1e6, right: summary.stats.successes, megabytes }));
process.exit(0);
