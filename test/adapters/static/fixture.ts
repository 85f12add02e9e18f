import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { staticOptions } from "../../../adapters/static/options.ts";
import { staticFiles } from "../../../adapters/static/static.ts";
import { createLog } from "../../../src/log.ts";
import { createMetrics } from "../../../src/metrics.ts";
import type { Adapter, Snapshot } from "../../../src/model/adapter.ts";
import type { Service } from "../../../src/model/service.ts";
import { createSecrets } from "../../../src/secrets.ts";

/** A folder of its own that goes with the test. */
export async function folder(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-static-"));
  t.after(() => rm(dir, { recursive: true, force: true }));
  return dir;
}

/** An adapter named `vms` whose files lie in `dir`. */
export function adapterIn(
  dir: string,
  options: object = {},
  metrics = createMetrics(),
): Adapter & Required<Pick<Adapter, "waitForChange">> {
  const adapter = staticFiles(staticOptions.parse({ file: "services.yaml", ...options }), {
    registry: "vms",
    dir,
    log: createLog({ level: "silent", pretty: false }),
    metrics,
    secrets: createSecrets(),
  });
  const { waitForChange } = adapter;
  if (waitForChange === undefined) throw new Error("A static registry can be waited for");
  return { ...adapter, waitForChange };
}

/** Read `text` as services.yaml. */
export async function readText(t: TestContext, text: string | Uint8Array, options: object = {}): Promise<Snapshot> {
  const dir = await folder(t);
  await writeFile(join(dir, "services.yaml"), text);
  return read(adapterIn(dir, options));
}

export function read(adapter: Adapter): Promise<Snapshot> {
  return adapter.read(new AbortController().signal, { trigger: "poll" });
}

/** The services that were read, by name. */
export function services(snapshot: Snapshot): Readonly<Record<string, Service>> {
  return Object.fromEntries(
    snapshot.services.flatMap((one) => (one.state === "ok" ? [[one.service.name, one.service]] : [])),
  );
}

/** Messages of failed reads, by key. */
export function failures(snapshot: Snapshot): Readonly<Record<string, string[]>> {
  return Object.fromEntries(
    snapshot.services.flatMap((one) =>
      one.state === "failed"
        ? [[one.key, (one.cause as AggregateError).errors.map((error: Error) => error.message)]]
        : [],
    ),
  );
}

/** A service of one port and the given endpoints, as flow YAML. */
export function item(name: string, rest = ""): string {
  return `  - {name: ${name}, ports: [{name: http, number: 80, protocol: http}], endpoints: [{address: 192.0.2.1}]${rest}}\n`;
}

/** Whether nothing keeps this process running that did not before; what others left may have gone meanwhile. */
export function holdsNoMoreThan(before: readonly string[]): boolean {
  const left = [...before];
  return process.getActiveResourcesInfo().every((kind) => {
    const at = left.indexOf(kind);
    return at >= 0 && left.splice(at, 1).length > 0;
  });
}
