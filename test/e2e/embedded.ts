import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { cp, readdir, readFile, rename, stat, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import type { TestContext } from "node:test";
import { parse } from "yaml";
import { freePorts, type Ports } from "./cli.ts";
import { tempDir } from "./fixture.ts";

const EXAMPLE = resolve(import.meta.dirname, "../../deploy/example");

/** The example estate in a folder of its own, on free ports. */
export interface Example {
  readonly dir: string;
  readonly config: string;
  readonly services: string;
  readonly out: string;
  readonly ports: Ports;
}

/** Copy deploy/example as it is shipped; only ports and the target's path differ. */
export async function copyExample(t: TestContext): Promise<Example> {
  const dir = await tempDir(t);
  const ports = await freePorts();
  await cp(EXAMPLE, dir, { recursive: true });
  const config = join(dir, "x2istio.yaml");
  await edit(config, (text) =>
    text
      .replace("127.0.0.1:5353", `127.0.0.1:${ports.dns}`)
      .replace("127.0.0.1:8080", `127.0.0.1:${ports.http}`)
      .replace("../../out", "out"),
  );
  return { dir, config, services: join(dir, "services.yaml"), out: join(dir, "out"), ports };
}

/** Change a file in one step, as editors do. */
export async function edit(path: string, change: (text: string) => string): Promise<void> {
  const text = await readFile(path, "utf8");
  const changed = change(text);
  assert.notEqual(changed, text, `the edit of ${path} changes something`);
  await writeFile(`${path}~`, changed);
  await rename(`${path}~`, path);
}

/** Digest and time of change of every file under a folder. */
export async function digests(dir: string): Promise<Map<string, string>> {
  const found = new Map<string, string>();
  for (const entry of await readdir(dir, { recursive: true, withFileTypes: true })) {
    if (!entry.isFile()) continue;
    const path = join(entry.parentPath, entry.name);
    const { mtimeNs } = await stat(path, { bigint: true });
    const digest = createHash("sha256")
      .update(await readFile(path))
      .digest("hex");
    found.set(path.slice(dir.length + 1), `${digest} ${mtimeNs}`);
  }
  return found;
}

/** What `/api/services` tells of one service. */
export interface ApiService {
  readonly service: string;
  readonly host: string;
  readonly vips: readonly string[];
  readonly endpoints: number;
  readonly aliases: readonly string[];
  readonly legacyNames: readonly string[];
  readonly held: readonly { readonly reason: string; readonly message: string }[];
}

export async function apiServices(http: string): Promise<readonly ApiService[]> {
  const answer = await fetch(`${http}/api/services`);
  assert.equal(answer.status, 200);
  return ((await answer.json()) as { readonly services: readonly ApiService[] }).services;
}

/** Endpoint addresses in the ServiceEntry of `host` as it stands in a folder. */
export async function folderEndpoints(out: string, host: string): Promise<readonly string[]> {
  const text = await readFile(join(out, "mesh-services", `${host}.yaml`), "utf8");
  const entry = parse(text.split(/^---$/m).find((part) => /^kind: ServiceEntry$/m.test(part)) ?? "") as {
    readonly spec: { readonly endpoints?: readonly { readonly address: string }[] };
  };
  return (entry.spec.endpoints ?? []).map(({ address }) => address);
}
