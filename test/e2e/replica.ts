// `x2istio run` as src/main.ts wires it, but with a Lease that is lost and won within a second or two.
// Arguments: the configuration file, and who this is in the Lease.
import { adapters } from "../../adapters/adapters.ts";
import { runCommand } from "../../src/cli/run.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import { createSecrets } from "../../src/secrets.ts";

const [configFile = "", identity = ""] = process.argv.slice(2);
const stop = new AbortController();
process.on("SIGTERM", () => stop.abort(new Error("stopped by SIGTERM")));

const metrics = createMetrics();
const secrets = createSecrets();
const log = createLog({ level: "info", pretty: false });
process.exitCode = await runCommand({
  configFile,
  configContext: { env: process.env, adapters },
  kubeconfig: process.env.KUBECONFIG,
  async createAdapter(registry, { dir }) {
    const kind = adapters[registry.kind];
    if (kind === undefined) throw new Error(`Cannot read registry ${registry.name} of kind ${registry.kind}`);
    return kind.create(registry.options, { registry: registry.name, dir, metrics, secrets, log });
  },
  log,
  metrics,
  secrets,
  signal: stop.signal,
  version: "test",
  identity,
  out: { line: () => undefined, progress: () => undefined, style: (_, text) => text },
  lease: { leaseDurationMs: 1000, renewDeadlineMs: 700, retryPeriodMs: 150 },
});
