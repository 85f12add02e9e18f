import { existsSync } from "node:fs";
import { readdir, readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { parseAllDocuments } from "yaml";
import { adapters } from "../../adapters/adapters.ts";
import { staticOptions } from "../../adapters/static/options.ts";
import { staticFiles } from "../../adapters/static/static.ts";
import { parseConfig } from "../../src/config/parse.ts";
import { createLog } from "../../src/log.ts";
import { createMetrics } from "../../src/metrics.ts";
import type { Manifest } from "../../src/model/objects.ts";
import type { ForeignObject } from "../../src/model/standing.ts";
import { createSecrets } from "../../src/secrets.ts";
import type { Admitted } from "../servers/admission.ts";
import { decider } from "./at-once.ts";
import { foreign, NOW_MS, standing } from "./build.ts";

export const DEPLOY = new URL("../../deploy/", import.meta.url);

/** What there is in a folder of deploy/ that has a configuration, and what is made of it. */
export interface ExampleObjects {
  /** All that would be written where nothing stands but `own`. */
  readonly made: readonly Manifest[];
  /** Objects in files beside the configuration. */
  readonly own: readonly Admitted[];
  /** It has a services.yaml, of which something is to be made. */
  readonly hasServices: boolean;
}

/** Read one, without asking registries that are far away. */
export async function objectsOf(folder: string): Promise<ExampleObjects> {
  const dir = new URL(`${folder}/`, DEPLOY);
  const read = (file: string) => readFile(new URL(file, dir), "utf8");
  const files = (await readdir(dir)).filter((file) => file.endsWith(".yaml")).sort();
  const others = files.filter((file) => file !== "x2istio.yaml" && file !== "services.yaml");
  const texts = await Promise.all(others.map(read));
  const own = texts.flatMap((text) => parseAllDocuments(text).map((document) => document.toJS() as Admitted));
  return {
    made: await madeOf(fileURLToPath(dir), await read("x2istio.yaml"), own),
    own,
    hasServices: existsSync(new URL("services.yaml", dir)),
  };
}

async function madeOf(dir: string, text: string, own: readonly Admitted[]): Promise<readonly Manifest[]> {
  const env = { POLARIS_ADDRESS: "http://192.0.2.1:8090", CONSUL_HTTP_ADDR: "http://192.0.2.1:8500" };
  const config = parseConfig(text, `${dir}x2istio.yaml`, { env, adapters });
  const context = {
    dir,
    log: createLog({ level: "silent", pretty: false }),
    metrics: createMetrics(),
    secrets: createSecrets(),
  };
  const readings = await Promise.all(
    config.registries
      .filter(({ kind }) => kind === "static")
      .map(async ({ name: registry, options }) => {
        const adapter = staticFiles(staticOptions.parse(options), { ...context, registry });
        const snapshot = await adapter.read(AbortSignal.timeout(10_000), { trigger: "poll" });
        return [registry, { state: "read" as const, snapshot }] as const;
      }),
  );
  // As if someone had asked for every service.
  const asked = config.registries.map((one) => ({ ...one, demand: "all" as const }));
  const { plan } = decider({ ...config, registries: asked })({
    readings: new Map(readings),
    standing: standing({ foreign: own.flatMap(foreignOf) }),
    nowMs: NOW_MS,
    allowDeletes: new Set<string>(),
  });
  return plan.create.map(({ object }) => object.manifest);
}

/** An object that has hosts which ours could have too. */
function foreignOf({ kind, metadata, spec }: Admitted & { readonly spec?: unknown }): readonly ForeignObject[] {
  if (kind !== "VirtualService" && kind !== "ServiceEntry") return [];
  const { hosts } = spec as { readonly hosts: readonly string[] };
  return [foreign(kind, `${metadata.namespace}/${metadata.name}`, { hosts })];
}
