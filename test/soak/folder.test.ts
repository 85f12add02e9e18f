import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { type TestContext, test } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { parse } from "yaml";
import { type Replica, ready, runCli, startReplica } from "../e2e/cli.ts";
import { type FileService, type Fixture, fixture, hostOf, httpService, tcpService } from "../e2e/fixture.ts";
import { until } from "../servers/kube-admin.ts";
import { sized } from "../size.ts";
import { randomOf } from "./random.ts";

/** X2ISTIO_SOAK_SEED=17 runs that seed alone. */
const only = process.env.X2ISTIO_SOAK_SEED;
const count = sized(1, { quick: 1, full: 40 });
const seeds = only === undefined ? Array.from({ length: count }, (_, at) => at + 1) : [Number(only)];
const STEPS = 25;
const NAMES = ["one", "two", "three", "four", "five", "six"];
const FOREIGN = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: theirs, namespace: mesh-services }\ndata: { edit: ";

const EVENTS = {
  "a registry's file changes": 8,
  "the process is killed": 3,
  "the process is ended and started again": 1,
  "apply runs beside it": 2,
  "a merge damages a file": 2,
  "a file is deleted": 2,
  "a file is put back to an older state": 2,
  "somebody adds or edits a file of their own": 3,
  "a registry's file cannot be read": 2,
} as const;
type Event = keyof typeof EVENTS;

for (const seed of seeds)
  test(`a random history of a folder under Git breaks nothing, seed ${seed}`, async (t) => {
    const folder = await startFolder(t, randomOf(seed));
    const done: string[] = [];
    try {
      for (let step = 0; step < STEPS; step++) {
        done.push(await folder.happen());
        // Some things happen while others are under way.
        if (folder.random() < 0.5) await folder.calm();
      }
      await folder.calm();
    } catch (error) {
      throw new Error(`after: ${done.join("; ")}\n${folder.output()}`, { cause: error });
    }
  });

interface Folder {
  random(): number;
  /** Let one thing happen; what it was. */
  happen(): Promise<string>;
  /** End all faults and wait until the folder says what the registry does; check what must always hold. */
  calm(): Promise<void>;
  output(): string;
}

async function startFolder(t: TestContext, random: () => number): Promise<Folder> {
  let turn = 0;
  const wanted = new Map<string, FileService>();
  const theirs = new Map<string, string>();
  const damaged = new Map<string, string>();
  const older = new Map<string, string>();
  const vips = new Map<string, string>();
  for (const name of NAMES.slice(0, 4)) wanted.set(name, next(name));
  const place = await fixture(t, [...wanted.values()], {
    target: { kind: "directory", path: "out" },
    policy: { keepEmpty: "1h" },
  });
  const out = join(place.dir, "out");
  let replica = await start();

  const kinds: Readonly<Record<Event, () => Promise<unknown>>> = {
    "a registry's file changes": () => {
      const name = pick(NAMES);
      // At most one of the six is gone at a time: this is about the folder, not about the brake.
      if (wanted.has(name) && wanted.size > 4 && random() < 0.3) wanted.delete(name);
      else wanted.set(name, next(name));
      return place.setServices([...wanted.values()]);
    },
    "the process is killed": async () => {
      if (random() < 0.5) await sleep(random() * 50); // at any moment of a pass
      await replica.kill();
      replica = await start();
    },
    "the process is ended and started again": async () => {
      assert.equal(await replica.stop(), 0);
      replica = await start();
    },
    "apply runs beside it": async () => {
      const { code, stderr } = await runCli(["--config", place.config, "apply"]);
      assert.notEqual(code, null, stderr);
    },
    "a merge damages a file": async () => {
      const file = pick(await ours());
      const text = await readFile(file, "utf8").catch(() => undefined);
      if (text === undefined || damaged.has(file)) return;
      damaged.set(file, text);
      await writeFile(file, text.replace("spec:", "<<<<<<< ours\nspec:\n=======\n"));
    },
    "a file is deleted": async () => {
      const file = pick(await ours());
      damaged.delete(file);
      await rm(file, { force: true });
    },
    "a file is put back to an older state": async () => {
      const file = pick(await ours());
      const [now, before] = [await readFile(file, "utf8").catch(() => undefined), older.get(file)];
      if (now === undefined || damaged.has(file)) return;
      older.set(file, now);
      if (before !== undefined) await writeFile(file, before);
    },
    "somebody adds or edits a file of their own": async () => {
      const file = join(out, pick(["mesh-services", "apps", "apps/base"]), "theirs.yaml");
      const text = `${FOREIGN}${JSON.stringify(String(++turn))} }\n`;
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, text);
      theirs.set(file, text);
    },
    "a registry's file cannot be read": async () => {
      await place.setText("services: [{ name: ");
      await sleep(random() * 300); // seen or not
      await place.setServices([...wanted.values()]);
    },
  };
  const drawn = Object.entries(EVENTS).flatMap(([event, often]) => Array<Event>(often).fill(event as Event));
  return {
    random,
    async happen() {
      const event = pick(drawn);
      await kinds[event]();
      return event;
    },
    async calm() {
      for (const [file, text] of damaged) await writeFile(file, text);
      damaged.clear();
      await until("the folder says what the registry does", isInStep).catch(async (error: unknown) => {
        throw new Error(JSON.stringify([[...(await entries())], [...wanted.values()]]), { cause: error });
      });
      for (const [file, text] of theirs) assert.equal(await readFile(file, "utf8"), text, "theirs is theirs");
      await until("no draft is left", async () => !(await readdir(out, { recursive: true })).some(isDraft));
      const stood = await entries();
      const given = [...stood].flatMap(([, { vips }]) => vips);
      assert.equal(new Set(given).size, given.length, `a VIP is shared: ${given.join()}`);
      for (const [
        host,
        {
          vips: [vip = ""],
        },
      ] of stood) {
        assert.equal(vips.get(host) ?? vip, vip, `the VIP of ${host} has moved`);
        vips.set(host, vip);
      }
    },
    output: () => replica.output().split("\n").slice(-25).join("\n"),
  };

  function pick<T>(from: readonly T[]): T {
    const found = from[Math.floor(random() * from.length)];
    if (found === undefined) throw new Error("There is nothing to pick from");
    return found;
  }

  function next(name: string): FileService {
    const addresses = Array.from({ length: 1 + Math.floor(random() * 3) }, () => `192.0.2.${++turn % 250}`);
    return name.length === 3 ? httpService(name, ...addresses) : tcpService(name, ...addresses);
  }

  async function start(): Promise<Replica> {
    const started = startReplica(t, place as Fixture);
    await ready(started);
    return started;
  }

  async function ours(): Promise<readonly string[]> {
    const all = await readdir(join(out, "mesh-services"));
    return all.filter((file) => file.includes(".mesh.internal.")).map((file) => join(out, "mesh-services", file));
  }

  /** By host, what the entries in the folder say. */
  async function entries(): Promise<ReadonlyMap<string, { vips: readonly string[]; endpoints: readonly string[] }>> {
    const found = new Map<string, { vips: readonly string[]; endpoints: readonly string[] }>();
    for (const file of await ours()) {
      const text = await readFile(file, "utf8");
      for (const part of text.split(/^---$/m)) {
        const { kind, spec } = parse(part) as { kind: string; spec: Spec };
        if (kind !== "ServiceEntry") continue;
        const endpoints = (spec.endpoints ?? []).map(({ address }) => address).sort();
        found.set(spec.hosts[0] ?? "", { vips: spec.addresses ?? [], endpoints });
      }
    }
    return found;
  }

  async function isInStep(): Promise<boolean> {
    const stood = await entries();
    const want = new Map([...stood.keys()].map((host) => [host, ""]));
    for (const service of wanted.values())
      want.set(
        hostOf(service),
        service.endpoints
          .map(({ address }) => address)
          .sort()
          .join(),
      );
    for (const [host, endpoints] of want) if (stood.get(host)?.endpoints.join() !== endpoints) return false;
    return true;
  }
}

/** What a write leaves behind that was not ended. */
function isDraft(path: string): boolean {
  return basename(path).startsWith(".");
}

interface Spec {
  readonly hosts: readonly string[];
  readonly addresses?: readonly string[];
  readonly endpoints?: readonly { readonly address: string }[];
}
