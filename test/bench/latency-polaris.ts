import { type ChildProcess, fork } from "node:child_process";
import { randomInt } from "node:crypto";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { freePorts } from "../e2e/cli.ts";
import { onDeathOfThisProcess } from "../servers/child.ts";
import type { Kube } from "../servers/kube.ts";
import { until } from "../servers/kube-admin.ts";
import { placesOf } from "./consul-fixture.ts";
import { emptyNamespace, NAMESPACE, standingEntries } from "./fixture.ts";
import type { Change, Changed } from "./polaris-server.ts";
import { cpuMs, startBenchReplica } from "./replica.ts";
import { figuresLine } from "./table.ts";
import { type EntryWatch, watchEntries } from "./watch-entries.ts";

const ENDPOINTS = 10;
const WARM = 20;

/**
 * From a change in the Polaris test server to the stored ServiceEntry. Polaris has no push: what passes until it is next asked
 * is shown apart.
 */
export async function polarisReport(kube: Kube, dir: string, services: number, samples: number): Promise<string> {
  await emptyNamespace(kube);
  const server = fork(join(import.meta.dirname, "polaris-server.ts"), [String(services), String(ENDPOINTS)]);
  const guard = onDeathOfThisProcess('kill -KILL "$1"', String(server.pid));
  try {
    const [address] = (await once(server, "message")) as [string];
    return await measure({ kube, server, services, samples }, await writeConfig(dir, address));
  } finally {
    server.kill("SIGKILL");
    guard.kill("SIGKILL");
  }
}

async function writeConfig(dir: string, address: string): Promise<string> {
  const ports = await freePorts();
  const config = join(dir, "polaris.yaml");
  await writeFile(
    config,
    `owner: bench
registries:
  - {kind: polaris, name: prod, address: "${address}", namespaces: [default]}
target: {kind: kubernetes, namespace: ${NAMESPACE}}
dns: {listen: ["127.0.0.1:${ports.dns}"]}
http: {listen: "127.0.0.1:${ports.http}"}
`,
  );
  return config;
}

interface Job {
  readonly kube: Kube;
  readonly server: ChildProcess;
  readonly services: number;
  readonly samples: number;
}

async function measure({ kube, server, services, samples }: Job, config: string): Promise<string> {
  const replica = startBenchReplica(config, kube.kubeconfigPath);
  try {
    await until("all entries stand", async () => (await standingEntries(kube)).length >= services, 300_000);
    await delay(3000);
    const watch = await watchEntries(kube);
    const [warm, cold]: [Sample[], Sample[]] = [[], []];
    const started = { ms: performance.now(), cpu: await cpuMs(replica.pid) };
    for (let at = 0; at < samples; at++) {
      // Services that changed lately are asked more often than the others.
      const [index, list] = at % 2 === 0 ? [at % WARM, warm] : [randomInt(WARM, services), cold];
      const taken = await oneChange(server, watch, { index, at: 0, weight: 101 + at });
      if (at >= WARM) list.push(taken);
      await delay(randomInt(20, 120));
    }
    const share = ((await cpuMs(replica.pid)) - started.cpu) / (performance.now() - started.ms);
    await watch.stop();
    return [
      `\nPolaris test server: ${services} × ${ENDPOINTS}, interval 2 s, namespace by namespace\n`,
      figuresLine(
        "change → stored, changed lately, ms",
        warm.map(({ allMs }) => allMs),
      ),
      figuresLine(
        "  of it until it was asked, ms",
        warm.map(({ askedMs }) => askedMs),
      ),
      figuresLine(
        "change → stored, not changed lately, ms",
        cold.map(({ allMs }) => allMs),
      ),
      figuresLine(
        "  of it until it was asked, ms",
        cold.map(({ askedMs }) => askedMs),
      ),
      figuresLine(
        "answered → stored, ms",
        [...warm, ...cold].map(({ allMs, askedMs }) => allMs - askedMs),
      ),
      `CPU of x2istio ${(share * 100).toFixed(1)} % of one core\n`,
    ].join("");
  } catch (cause) {
    throw new Error(`x2istio run did not get there:\n${replica.output().slice(-2000)}`, { cause });
  } finally {
    await replica.stop();
  }
}

interface Sample {
  readonly allMs: number;
  /** Until the server was next asked for the service. */
  readonly askedMs: number;
}

async function oneChange(server: ChildProcess, watch: EntryWatch, change: Change): Promise<Sample> {
  const [place] = placesOf(change.index, ENDPOINTS);
  const stored = watch.next(`${place?.service}.default.prod.mesh.internal`, 60_000);
  const answered = once(server, "message");
  server.send(change);
  const [{ changedMs, servedMs }] = (await answered) as [Changed];
  const storedMs = performance.timeOrigin + (await stored);
  return { allMs: storedMs - changedMs, askedMs: servedMs - changedMs };
}
