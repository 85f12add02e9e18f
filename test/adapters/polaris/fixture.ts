import type { TestContext } from "node:test";
import { polarisOptions } from "../../../adapters/polaris/options.ts";
import { polaris } from "../../../adapters/polaris/polaris.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics, type Metrics } from "../../../src/metrics.ts";
import type { Adapter, Snapshot } from "../../../src/model/adapter.ts";
import type { Service } from "../../../src/model/service.ts";
import { createSecrets } from "../../../src/secrets.ts";
import { type Polaris, type PolarisOptions, startPolaris } from "../../polaris/polaris.ts";

export type WatchedAdapter = Adapter & Required<Pick<Adapter, "waitForChange" | "close">>;

/** An adapter named `prod` that ends with the test. */
export function adapterOf(
  t: TestContext,
  options: { readonly address: string | readonly string[] } & Readonly<Record<string, unknown>>,
  metrics: Metrics = createMetrics(),
): WatchedAdapter {
  const adapter = polaris(polarisOptions.parse({ interval: "100ms", timeout: "30s", ...options }), {
    registry: "prod",
    dir: "/",
    log: createLog({ level: "silent", pretty: false }),
    metrics,
    secrets: createSecrets(),
  });
  const { waitForChange, close } = adapter;
  if (waitForChange === undefined || close === undefined) throw new Error("A Polaris can be waited for and closed");
  t.after(close);
  return { ...adapter, waitForChange, close };
}

/** A server that ends with the test. */
export async function serverOf(t: TestContext, options: PolarisOptions = {}): Promise<Polaris> {
  const server = await startPolaris(options);
  t.after(() => server.stop());
  return server;
}

export function poll(adapter: Adapter): Promise<Snapshot> {
  return adapter.read(new AbortController().signal, { trigger: "poll" });
}

/** Wait for a change of `snapshot` and read it, up to a minute. */
export async function hint(adapter: WatchedAdapter, { revision }: Snapshot): Promise<Snapshot> {
  const signal = AbortSignal.timeout(60_000);
  await adapter.waitForChange(revision, signal);
  return adapter.read(signal, { trigger: "hint" });
}

/** The services that were read, by `namespace/name`. */
export function services(snapshot: Snapshot): Readonly<Record<string, Service>> {
  return Object.fromEntries(
    snapshot.services.flatMap((one) =>
      one.state === "ok" ? [[`${one.service.namespace}/${one.service.name}`, one.service]] : [],
    ),
  );
}

/** Causes of failed reads, by key. */
export function failures(snapshot: Snapshot): Readonly<Record<string, Error>> {
  return Object.fromEntries(
    snapshot.services.flatMap((one) => (one.state === "failed" ? [[one.key, one.cause as Error]] : [])),
  );
}

/** Endpoints as `address:port`, the port being that of the service's only one. */
export function places({ ports, endpoints }: Service): readonly string[] {
  const [port] = ports;
  return endpoints.map(({ address, ports: own }) => `${address}:${own?.[port?.name ?? ""] ?? port?.number}`);
}
