/**
 * The Polaris test server in a process of its own: `fork` it with the numbers of services and endpoints. It sends its address,
 * changes a weight for each {@link Change} that it is sent, and answers with the {@link Changed} once the service was asked for.
 */
import { startPolaris } from "../polaris/polaris.ts";
import { placesOf } from "./consul-fixture.ts";

/** Which instance gets which weight. */
export interface Change {
  readonly index: number;
  readonly at: number;
  readonly weight: number;
}

/** Milliseconds since the epoch: when the instance changed, and when an answer first said so. */
export interface Changed {
  readonly changedMs: number;
  readonly servedMs: number;
}

const [services = 0, endpoints = 0] = process.argv.slice(2).map(Number);
const server = await startPolaris();
const ids = Array.from({ length: services }, (_, index) =>
  placesOf(index, endpoints).map(({ service, address }) =>
    server.register({ service, host: address, port: 8080, protocol: "http", version: "v1" }),
  ),
);
process.send?.(server.address);

process.on("message", ({ index, at, weight }: Change) => {
  const [place] = placesOf(index, endpoints);
  const last = server.requests.at(-1);
  server.update(ids[index]?.[at] ?? "", { weight });
  const changedMs = now();
  const ticker = setInterval(() => {
    const since = server.requests.slice(last === undefined ? 0 : server.requests.lastIndexOf(last) + 1);
    if (!since.some(({ body }) => nameIn(body) === place?.service)) return;
    clearInterval(ticker);
    process.send?.({ changedMs, servedMs: now() } satisfies Changed);
  }, 1);
});
process.on("disconnect", () => process.exit());

function nameIn(body: unknown): string | undefined {
  return (body as { readonly service?: { readonly name?: string } } | undefined)?.service?.name;
}

function now(): number {
  return performance.timeOrigin + performance.now();
}
