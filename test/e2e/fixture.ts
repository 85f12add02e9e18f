import { mkdir, mkdtemp, rename, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { stringify } from "yaml";
import { freePorts, type Ports } from "./cli.ts";

/** A temporary folder that goes with the test. */
export async function tempDir(t: TestContext): Promise<string> {
  const dir = await mkdtemp(join(tmpdir(), "x2istio-e2e-"));
  t.after(() => rm(dir, { recursive: true, force: true, maxRetries: 3 }));
  return dir;
}

/** A service as a static file has it. */
export interface FileService {
  readonly namespace?: string;
  readonly name: string;
  readonly ports: readonly object[];
  readonly endpoints: readonly { readonly address: string; readonly [field: string]: unknown }[];
  readonly legacyNames?: readonly string[];
}

/** An HTTP service in namespace shop with a legacy name: it gets a ServiceEntry, an alias and a VirtualService. */
export function httpService(name: string, ...addresses: readonly string[]): FileService {
  return {
    namespace: "shop",
    name,
    ports: [{ name: "http", number: 8080, protocol: "http" }],
    endpoints: addresses.map((address) => ({ address })),
    legacyNames: [`${name}.corp.example.com`],
  };
}

/** A TCP service in namespace data: it gets a ServiceEntry only. */
export function tcpService(name: string, ...addresses: readonly string[]): FileService {
  return {
    namespace: "data",
    name,
    ports: [{ name: "tcp", number: 5432, protocol: "tcp" }],
    endpoints: addresses.map((address) => ({ address })),
  };
}

/** Host of a service of registry vms. */
export function hostOf({ name, namespace = "default" }: FileService, registry = "vms"): string {
  return `${name}.${namespace}.${registry}.mesh.internal`;
}

/** A configuration with one static registry, on files. */
export interface Fixture {
  readonly dir: string;
  readonly config: string;
  readonly ports: Ports;
  /** Replace the services file in one step. */
  setServices(services: readonly FileService[]): Promise<void>;
  /** Replace the services file by any text. */
  setText(text: string): Promise<void>;
  /** Replace a file beside the configuration in one step. */
  replace(file: string, text: string): Promise<void>;
  /** Replace the configuration, but for `sections`. */
  setConfig(sections: object): Promise<void>;
}

/** Write a configuration for a cluster target in namespace mesh-services, with aliases in namespace shop. */
export async function fixture(
  t: TestContext,
  services: readonly FileService[],
  sections: Readonly<Record<string, unknown>> = {},
): Promise<Fixture> {
  const dir = await tempDir(t);
  const ports = await freePorts();
  const config = join(dir, "x2istio.yaml");
  const file = join(dir, "services.yaml");
  await mkdir(dir, { recursive: true });
  const setConfig = (changed: object) =>
    replace(
      config,
      stringify({
        owner: "east",
        registries: [{ kind: "static", name: "vms", file: "services.yaml" }],
        aliases: [{ registry: "vms", namespace: "shop", as: "{service}", in: "shop" }],
        target: { kind: "kubernetes", namespace: "mesh-services" },
        dns: { listen: [`127.0.0.1:${ports.dns}`], zones: ["mesh.internal", "corp.example.com"], ttl: "1s" },
        http: { listen: `127.0.0.1:${ports.http}`, readyWait: "5s" },
        ...sections,
        ...changed,
      }),
    );
  const setText = (text: string) => replace(file, text);
  const setServices = (list: readonly FileService[]) => setText(stringify({ services: list }));
  await setServices(services);
  await setConfig({});
  return {
    dir,
    config,
    ports,
    setServices,
    setText,
    setConfig,
    replace: (name, text) => replace(join(dir, name), text),
  };
}

/** As editors do: a reader sees the old text or the new. */
async function replace(path: string, text: string): Promise<void> {
  await writeFile(`${path}~`, text);
  await rename(`${path}~`, path);
}
