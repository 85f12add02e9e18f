/**
 * How long a change takes from a registry to the endpoints that Envoy calls, and each hop's share of it. See README.md.
 * Asserts nothing about time.
 *
 * `node test/bench/mesh.ts [SAMPLES] [SERVICES]`
 */
import { randomInt } from "node:crypto";
import { test } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import type { Envoy } from "../mesh/envoy.ts";
import { startMesh } from "../mesh/mesh.ts";
import { ownNetwork } from "../mesh/network.ts";
import { watchResources } from "../mesh/xds.ts";
import { type Consul, startConsul } from "../servers/consul.ts";
import { change, fillConsul, placesOf } from "./consul-fixture.ts";
import { figuresLine, median } from "./table.ts";
import { type EntryWatch, watchEntries } from "./watch-entries.ts";

const ENDPOINTS = 10;
/** Of one change, in milliseconds. */
interface Sample {
  readonly consul: number;
  readonly x2istio: number;
  readonly istiod: number;
  readonly envoy: number;
  readonly total: number;
}
interface Bench {
  readonly consul: Consul;
  readonly envoy: Envoy;
  readonly entries: EntryWatch;
  /** Called with the name of each set of endpoints that istiod sends. */
  readonly onSent: Set<(name: string) => void>;
}

const skip = await ownNetwork();
/** Services that have their new instance. */
const come = new Set<number>();
const samples = Number(process.argv[2] ?? 100);
const services = Number(process.argv[3] ?? 200);

await test("latency from a registry to Envoy", { skip }, async (t) => {
  const consul = await startConsul();
  t.after(() => consul.stop());
  await fillConsul(consul, services, ENDPOINTS);
  const registries = [{ kind: "consul", name: "dc1", address: consul.address }];
  const mesh = await startMesh(t, { sections: { registries, aliases: [] } });
  const { envoy } = await mesh.withSidecar("web");
  const all = Array.from({ length: services }, (_, index) => clusterOf(index));
  await mesh.becomes(ENDPOINTS, async () => (await envoy.endpoints(hostOf(services - 1), 8080)).length, 60_000);
  const onSent: Bench["onSent"] = new Set();
  const client = watchResources({
    node: "sidecar~10.9.1.250~watch.shop~shop.svc.cluster.local",
    metadata: { NAMESPACE: "shop", CLUSTER_ID: "Kubernetes" },
    type: "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment",
    names: all,
    onResource: (name) => void [...onSent].map((take) => take(name)),
  });
  t.after(() => client.stop());
  const entries = await watchEntries(mesh.kube);
  t.after(() => entries.stop());
  await mesh.istiod.settled();
  const bench: Bench = { consul, envoy, entries, onSent };
  const taken: Sample[] = [];
  for (let at = -5; at < samples; at++) {
    const sample = await oneChange(bench, randomInt(services), at);
    if (at >= 0) taken.push(sample); // the first ones warm up
    await delay(randomInt(50, 350));
  }
  process.stdout.write(report(taken));
});

/** A new instance comes, or the one that came goes. */
async function oneChange({ consul, envoy, entries, onSent }: Bench, index: number, at: number): Promise<Sample> {
  const [place] = placesOf(index, ENDPOINTS);
  if (place === undefined) throw new Error("a service of the benchmark has endpoints");
  const isBack = come.delete(index);
  if (!isBack) come.add(index);
  const stored = entries.next(hostOf(index), 30_000);
  const sent = new Promise<number>((resolve) => {
    const take = (name: string) => {
      if (name !== clusterOf(index)) return;
      onSent.delete(take);
      resolve(performance.now());
    };
    onSent.add(take);
  });
  const counter = `cluster.${clusterOf(index)};.membership_change`;
  const before = await envoy.stat(counter);
  const startedMs = performance.now();
  const answered = change(consul, place, "new instance", isBack).then(() => performance.now());
  const deadlineMs = startedMs + 30_000;
  while ((await envoy.stat(counter)) === before) {
    if (performance.now() > deadlineMs) throw new Error(`Cannot measure change ${at}: Envoy has not seen it`);
    await delay(2); // who asks without a pause takes Envoy's core
  }
  const appliedMs = performance.now();
  const [answeredMs, storedMs, sentMs] = await Promise.all([answered, stored, sent]);
  return {
    consul: answeredMs - startedMs,
    x2istio: storedMs - answeredMs,
    istiod: sentMs - storedMs,
    envoy: appliedMs - sentMs,
    total: appliedMs - startedMs,
  };
}

function hostOf(index: number): string {
  return `${placesOf(index, ENDPOINTS)[0]?.service}.default.dc1.mesh.internal`;
}

function clusterOf(index: number): string {
  return `outbound|8080||${hostOf(index)}`;
}

function report(taken: readonly Sample[]): string {
  const of = (hop: keyof Sample) => taken.map((sample) => sample[hop]);
  const total = median(of("total"));
  const line = (what: string, hop: keyof Sample) =>
    `${((100 * median(of(hop))) / total).toFixed(0).padStart(3)} %  ${figuresLine(what, of(hop))}`;
  return [
    `\nConsul → Envoy, ${services} services × ${ENDPOINTS}, ms\n\n`,
    line("request to its answer: Consul", "consul"),
    line("answer to stored entry: X2Istio, API server", "x2istio"),
    line("stored to sent endpoints: istiod (waits 100)", "istiod"),
    line("sent to taken over: Envoy", "envoy"),
    line("request to taken over", "total"),
  ].join("");
}
