import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { TestContext } from "node:test";
import { parseAllDocuments, stringify } from "yaml";
import { type CliResult, runCli } from "../e2e/cli.ts";
import { tempDir } from "../e2e/fixture.ts";

/** A configuration on a folder, in a temporary folder of its own. */
export interface Place {
  readonly dir: string;
  readonly config: string;
  /** Replace the configuration but for target `out` and registry `vms` on services.yaml. */
  configure(sections: object): Promise<void>;
  /** Write any file; an object as YAML. */
  write(file: string, content: string | object): Promise<void>;
  /** Run a command with this configuration. */
  x2istio(...args: readonly string[]): Promise<CliResult>;
  /** All files below `out`, sorted. */
  files(): Promise<readonly string[]>;
  /** The objects of one file below `out`. */
  objects(file: string): Promise<readonly StoodObject[]>;
}

export interface StoodObject {
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace: string;
    readonly labels: Readonly<Record<string, string>>;
    readonly annotations?: Readonly<Record<string, string>>;
  };
  readonly spec?: Readonly<Record<string, unknown>>;
}

/** Make a place with `services` in services.yaml. */
export async function place(
  t: TestContext,
  services: readonly object[],
  sections: Readonly<Record<string, unknown>> = {},
): Promise<Place> {
  const dir = await tempDir(t);
  const config = join(dir, "x2istio.yaml");
  const out = join(dir, "out");
  async function write(file: string, content: string | object): Promise<void> {
    await mkdir(dirname(join(dir, file)), { recursive: true });
    await writeFile(join(dir, file), typeof content === "string" ? content : stringify(content));
  }
  const configure = (changed: object) =>
    write("x2istio.yaml", { registries: [{ kind: "static", name: "vms", file: "services.yaml" }], ...changed });
  await write("services.yaml", { services });
  await configure(sections);
  return {
    dir,
    config,
    configure,
    write,
    x2istio: (...args) => runCli(["--config", config, ...args]),
    async files() {
      const found = await readdir(out, { recursive: true, withFileTypes: true }).catch(() => []);
      return found
        .filter((one) => !one.isDirectory())
        .map((one) => join(one.parentPath, one.name).slice(out.length + 1))
        .sort();
    },
    async objects(file) {
      return parseAllDocuments(await readFile(join(out, file), "utf8")).map((one) => one.toJS() as StoodObject);
    },
  };
}

/** `count` services with one endpoint each, named s0, s1, … */
export function services(count: number): readonly object[] {
  return Array.from({ length: count }, (_, n) => service(`s${n}`, `192.0.2.${n + 1}`));
}

export function service(name: string, ...addresses: readonly string[]): object {
  return {
    name,
    ports: [{ name: "p", number: 80, protocol: "Http" }],
    endpoints: addresses.map((address) => ({ address })),
  };
}
