// A process of its own that reads a tree of Dubbo: `node test/bench/zookeeper-read.ts ADDRESS`. Prints what it took as JSON.
import { zooKeeperOptions } from "../../adapters/zookeeper/options.ts";
import { zookeeper } from "../../adapters/zookeeper/zookeeper.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import { createSecrets } from "../../src/secrets.ts";
import { cpuMs, memoryMiB } from "./replica.ts";

/** What reading takes. */
export interface ReadCost {
  readonly services: number;
  readonly firstMs: number;
  /** Of a poll on which nothing has changed. */
  readonly pollMs: number;
  readonly pollCpuMs: number;
  /** Resident memory before anything was read, after three polls, and at most. */
  readonly baseMiB: number;
  readonly afterMiB: number;
  readonly peakMiB: number;
}

if (import.meta.main) process.stdout.write(JSON.stringify(await measure(process.argv[2] ?? "")));

async function measure(address: string): Promise<ReadCost> {
  const adapter = zookeeper(zooKeeperOptions.parse({ address, timeout: "1m" }), {
    ...{ registry: "dubbo", dir: "/", log: createLog({ level: "silent", pretty: false }) },
    ...{ metrics: createMetrics(), secrets: createSecrets() },
  });
  const read = async () => {
    const startedMs = performance.now();
    const { services } = await adapter.read(AbortSignal.timeout(120_000), { trigger: "poll" });
    return { services: services.length, ms: performance.now() - startedMs };
  };
  const base = await memoryMiB(process.pid);
  const first = await read();
  const startedCpuMs = await cpuMs(process.pid);
  const polls = [await read(), await read(), await read()];
  const pollCpuMs = ((await cpuMs(process.pid)) - startedCpuMs) / polls.length;
  const { now, peak } = await memoryMiB(process.pid);
  await adapter.close?.();
  return {
    ...{ services: first.services, firstMs: first.ms, pollMs: Math.min(...polls.map(({ ms }) => ms)), pollCpuMs },
    ...{ baseMiB: base.now, afterMiB: now, peakMiB: peak },
  };
}
