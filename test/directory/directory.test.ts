import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { mkdir, readFile, rename, rm, stat, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import fc from "fast-check";
import { parseAllDocuments } from "yaml";
import type { Manifest } from "../../src/model/objects.ts";
import type { Target } from "../../src/model/target.ts";
import { sized } from "../size.ts";
import { GENEROUS_MS } from "../until.ts";
import {
  alias,
  allFiles,
  changed,
  companion,
  create,
  entry,
  fileOf,
  foreignEntry,
  inWorld,
  keyOf,
  outcomes,
  remove,
  route,
  standingOf,
  update,
} from "./world.ts";

/** Wait until the target has seen so much that this is so. */
async function until(target: Target, isSo: () => boolean): Promise<void> {
  for (let version = target.version(); !isSo(); version = target.version())
    await target.waitForChange(version, AbortSignal.timeout(GENEROUS_MS));
}

test("a service's objects stand in one file, each document a Kubernetes object", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    assert.equal(target.standing().objects.size, 0);
    assert.equal(existsSync(path), false);
    await outcomes(
      target,
      [
        alias("orders", "zoo"),
        alias("orders"),
        route("orders"),
        companion("orders"),
        entry("orders"),
        entry("stock"),
      ].map(create),
    );
    assert.deepEqual(await allFiles(path), [
      "mesh-services/orders.shop.vms.mesh.internal.yaml",
      "mesh-services/stock.shop.vms.mesh.internal.yaml",
    ]);
    const documents = parseAllDocuments(await readFile(fileOf(path, "orders"), "utf8")).map(
      (document) => document.toJS() as Manifest,
    );
    assert.deepEqual(documents, [
      entry("orders"),
      companion("orders"),
      route("orders"),
      alias("orders"),
      alias("orders", "zoo"),
    ]);
  }));

const name = fc.constantFrom("orders", "stock", "billing", "search");
const manifests = fc
  .uniqueArray(
    fc.record({
      name,
      addresses: fc.uniqueArray(fc.ipV4()),
      withAlias: fc.boolean(),
      withRoute: fc.boolean(),
      note: fc.string({ unit: "binary" }).filter((text) => text.isWellFormed()),
    }),
    { selector: (service) => service.name, minLength: 1 },
  )
  .map((services) =>
    services.flatMap(({ name, addresses, withAlias, withRoute, note }) => {
      const main = entry(name, addresses);
      const noted = {
        ...main,
        metadata: { ...main.metadata, annotations: { ...main.metadata.annotations, note } },
      } as Manifest;
      return [noted, ...(withAlias ? [alias(name)] : []), ...(withRoute ? [route(name)] : [])];
    }),
  );

test("what was written is what a new process reads, and writing it again changes no byte", () =>
  fc.assert(
    fc.asyncProperty(manifests, manifests, (first, second) =>
      inWorld(async ({ path, open }) => {
        const target = await open();
        await outcomes(target, first.map(create));
        const wanted = new Map(second.map((manifest) => [keyOf(manifest), manifest]));
        const changes = [
          ...second.map((manifest) =>
            target.standing().objects.has(keyOf(manifest)) ? update(target, manifest) : create(manifest),
          ),
          ...first.filter((manifest) => !wanted.has(keyOf(manifest))).map((manifest) => remove(target, manifest)),
        ];
        assert.deepEqual(
          (await outcomes(target, changes)).filter((outcome) => !outcome.endsWith("written")),
          [],
        );
        for (const reader of [target, await open()]) {
          assert.deepEqual(
            new Map([...reader.standing().objects].map(([key, { manifest }]) => [key, manifest])),
            wanted,
          );
        }
        const reader = await open();
        const before = await Promise.all(
          (await allFiles(path)).map((file) => stat(join(path, file), { bigint: true })),
        );
        await outcomes(
          reader,
          second.map((manifest) => update(reader, manifest)),
        );
        const after = await Promise.all((await allFiles(path)).map((file) => stat(join(path, file), { bigint: true })));
        assert.deepEqual(
          after.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
          before.map(({ ino, mtimeNs }) => [ino, mtimeNs]),
        );
      }),
    ),
    { numRuns: sized(40) },
  ));

test("an object that stands unchanged keeps its identity, also beside one that moves", () =>
  inWorld(async ({ open }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders")), create(alias("orders"))]);
    const before = standingOf(target, alias("orders"));
    await outcomes(target, [update(target, entry("orders", ["10.1.4.8"]))]);
    assert.equal(standingOf(target, alias("orders")), before);
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.1.4.8"]));
  }));

test("a file without an object left goes", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders")), create(alias("orders"))]);
    assert.deepEqual(await outcomes(target, [remove(target, alias("orders")), remove(target, entry("orders"))]), [
      "Service written",
      "ServiceEntry written",
    ]);
    assert.deepEqual(await allFiles(path), []);
    assert.equal(target.standing().objects.size, 0);
  }));

test("drafts of a process that is gone are removed at start, those of a live one are not", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "mesh-services"), { recursive: true });
    await writeFile(join(path, "mesh-services", ".x2istio-4194999-1-abc.tmp"), "half");
    await writeFile(join(path, "mesh-services", ".x2istio-note"), "not a draft");
    const live = `.x2istio-${process.pid}-${(await readFile("/proc/self/stat", "utf8").catch(() => "0 (x) S 0")).split(") ")[1]?.split(" ")[19] ?? 0}-abc.tmp`;
    await writeFile(join(path, "mesh-services", live), "half");
    await open();
    assert.deepEqual(
      (await allFiles(path)).map((file) => file.slice("mesh-services/".length)),
      [live, ".x2istio-note"].sort(),
    );
  }));

test("a watching target sees what others do and stays quiet about its own writes", () =>
  inWorld(async ({ path, open }) => {
    const [target, writer] = [await open({ watch: true }), await open()];
    // The folder is not there yet: it is looked for once a second.
    await outcomes(writer, [create(entry("orders"))]);
    await until(target, () => target.standing().objects.has(keyOf(entry("orders"))));

    await outcomes(target, [create(entry("stock")), create(alias("stock"))]);
    const version = target.version();
    await outcomes(writer, [create(entry("later"))]);
    await until(target, () => target.standing().objects.has(keyOf(entry("later"))));
    assert.deepEqual([...(target.changesSince(version) ?? [])], [keyOf(entry("later"))]);

    const file = fileOf(path, "orders");
    const text = await readFile(file, "utf8");
    await changed(target, () => writeFile(file, text.replace("10.1.4.7", "10.1.4.8")));
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.1.4.8"]));
    await changed(target, async () => {
      await writeFile(join(path, "draft"), text);
      await rename(join(path, "draft"), file);
    });
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders"));
    await changed(target, async () => {
      await mkdir(join(path, "apps", "base"), { recursive: true });
      await writeFile(join(path, "apps", "base", "theirs.yaml"), foreignEntry);
    });
    assert.ok(target.standing().foreign.has("ServiceEntry/mesh-services/theirs"));
    await rm(path, { recursive: true });
    await until(target, () => target.standing().objects.size + target.standing().foreign.size === 0);
    await outcomes(target, [create(entry("orders"))]);
    await changed(target, () => unlink(file));
    assert.equal(target.standing().objects.size, 0);
    await target.close();
  }));

test("an object that stands in two files counts once, in its own", () =>
  inWorld(async ({ path, open, warnings }) => {
    await outcomes(await open(), [create(entry("orders"))]);
    await mkdir(join(path, "backup"));
    await writeFile(
      join(path, "backup", "a.yaml"),
      (await readFile(fileOf(path, "orders"), "utf8")).replace("10.1.4.7", "10.9.9.9"),
    );
    const target = await open();
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders"));
    assert.ok(warnings.length > 0);
    await outcomes(target, [update(target, entry("orders", ["10.1.4.8"]))]);
    assert.match(await readFile(join(path, "backup", "a.yaml"), "utf8"), /10\.9\.9\.9/);
  }));

test("waitForChange() rejects when it is aborted", () =>
  inWorld(async ({ open }) => {
    const target = await open();
    await assert.rejects(target.waitForChange(target.version(), AbortSignal.timeout(20)));
    await assert.rejects(target.waitForChange(target.version(), AbortSignal.abort()));
  }));

test("a file in the place of the folder is refused at start", () =>
  inWorld(async ({ path, open }) => {
    await writeFile(path, "");
    await assert.rejects(open(), /is not a folder/);
  }));
