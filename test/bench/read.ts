/**
 * What reading a registry costs: `node test/bench/read.ts CONFIG`. Reads its first registry once, and then polls it unchanged;
 * prints for each read {@link ReadFigures} as JSON.
 */
import { adapters } from "../../adapters/adapters.ts";
import { loadConfig } from "../../src/config/load.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import { createSecrets } from "../../src/secrets.ts";

const POLLS = 5;

/** One read of all services. */
export interface ReadFigures {
  readonly ms: number;
  /** Of all threads of this process. */
  readonly cpuMs: number;
  readonly requests: number;
  readonly services: number;
  /** Of this process, afterwards. */
  readonly rssMiB: number;
}

const config = await loadConfig(process.argv[2] ?? "", { env: process.env, adapters });
const [registry] = config.registries;
const kind = registry === undefined ? undefined : adapters[registry.kind];
if (registry === undefined || kind === undefined) throw new Error("the configuration names a registry of a known kind");
const metrics = createMetrics();
const adapter = await kind.create(registry.options, {
  registry: registry.name,
  dir: config.dir,
  log: createLog({ level: "warn", pretty: false }),
  metrics,
  secrets: createSecrets(),
});
const figures: ReadFigures[] = [];
for (let at = 0; at <= POLLS; at++) {
  const requests = await requestCount();
  const cpu = process.cpuUsage();
  const started = performance.now();
  const { services } = await adapter.read(AbortSignal.timeout(300_000), { trigger: "poll" });
  const { user, system } = process.cpuUsage(cpu);
  figures.push({
    ms: performance.now() - started,
    cpuMs: (user + system) / 1000,
    requests: (await requestCount()) - requests,
    services: services.length,
    rssMiB: process.memoryUsage.rss() / 1024 / 1024,
  });
}
process.stdout.write(JSON.stringify(figures));
await adapter.close?.();

async function requestCount(): Promise<number> {
  const counter = metrics.registry.getSingleMetric(`x2istio_${registry?.kind}_requests_total`);
  return ((await counter?.get())?.values ?? []).reduce((sum, { value }) => sum + value, 0);
}
