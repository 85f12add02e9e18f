#!/usr/bin/env node
import { randomBytes } from "node:crypto";
import { readFileSync } from "node:fs";
import { hostname } from "node:os";
import { styleText } from "node:util";
import { adapters } from "../adapters/adapters.ts";
import type { CliContext, ExitCode, Output } from "./cli/context.ts";
import type { Call } from "./cli/program/action.ts";
import { createProgram } from "./cli/program.ts";
import { withPlainErrors } from "./cli/setup/plain-errors.ts";
import { ConfigError, describeError } from "./errors.ts";
import { createLog } from "./log.ts";
import { createMetrics } from "./metrics.ts";
import { addSecretsOf, createSecrets } from "./secrets.ts";
import { escapedText } from "./text.ts";

const { version } = JSON.parse(readFileSync(findPackage(), "utf8")) as { version: string };
const stop = new AbortController();
for (const name of ["SIGINT", "SIGTERM"] as const) {
  process.on(name, () => {
    // A second signal means: now.
    if (stop.signal.aborted) process.exit(1);
    stop.abort(new Error(`stopped by ${name}`));
  });
}
// `x2istio plan | head` closes our output: that is no error.
process.stdout.on("error", (error: NodeJS.ErrnoException) => process.exit(error.code === "EPIPE" ? 0 : 1));

/** Stands for the escape character of our own sequences; nobody else knows it. */
const ESCAPE = `<${randomBytes(9).toString("base64url")}>`;
const print = (line: string) => process.stdout.write(`${escapedText(line).replaceAll(ESCAPE, "\u001b")}\n`);
await createProgram({ version, execute, print }).parseAsync();

/** Run a command's work in a context of its own; its result or error becomes the exit code. */
async function execute(call: Call, work: (context: CliContext) => Promise<ExitCode>): Promise<void> {
  const context = contextOf(call);
  try {
    process.exitCode = await work(context);
  } catch (error) {
    context.out.progress("");
    const wasStopped = stop.signal.aborted && !(error instanceof ConfigError);
    // A service that was stopped by a signal has ended as it should.
    process.exitCode = wasStopped && call.isService ? 0 : 1;
    if (process.exitCode === 0) return;
    const why = wasStopped ? "Stopped before it was done" : describeError(error);
    process.stderr.write(`${escapedText(context.secrets.mask(why))}\n`);
  }
}

function contextOf({ configFile, logLevel }: Call): CliContext {
  const metrics = createMetrics();
  const secrets = createSecrets();
  const log = createLog({ level: logLevel, pretty: process.stderr.isTTY === true, secrets });
  return {
    configFile,
    configContext: { env: process.env, adapters },
    kubeconfig: process.env.KUBECONFIG,
    pod: podOf(process.env),
    async createAdapter(registry, { dir }) {
      const kind = adapters[registry.kind];
      if (kind === undefined) throw new ConfigError(`kind: must be known: ${Object.keys(adapters).join(", ")}`);
      addSecretsOf(registry.options, secrets);
      const child = log.child({ registry: registry.name });
      const adapter = await kind.create(registry.options, {
        registry: registry.name,
        dir,
        metrics,
        secrets,
        log: child,
      });
      return withPlainErrors(adapter, secrets);
    },
    log,
    metrics,
    secrets,
    signal: stop.signal,
    version,
    identity: `${hostname()}-${process.pid}-${randomBytes(3).toString("hex")}`,
    out: terminal(),
  };
}

function podOf({ KUBERNETES_SERVICE_HOST: host, KUBERNETES_SERVICE_PORT: port }: NodeJS.ProcessEnv) {
  return host === undefined || port === undefined ? undefined : { host, port };
}

function terminal(): Output {
  const isTerminal = process.stderr.isTTY === true;
  return {
    line: print,
    progress: (text) => {
      if (isTerminal) process.stderr.write(`\r\u001b[K${escapedText(text)}`);
    },
    style: (colour, text) =>
      styleText(colour, escapedText(text), { stream: process.stdout }).replaceAll("\u001b", ESCAPE),
  };
}

/** Beside the sources, or two folders up in the published build. */
function findPackage(): URL {
  const near = new URL("../package.json", import.meta.url);
  return import.meta.url.includes("/dist/") ? new URL("../../package.json", import.meta.url) : near;
}
