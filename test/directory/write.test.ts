import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { chmod, mkdir, readFile, unlink, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { test } from "node:test";
import type { Manifest, ServiceEntry } from "../../src/model/objects.ts";
import { buildNameTable } from "../plan/at-once.ts";
import {
  alias,
  allFiles,
  companion,
  create,
  entry,
  fileOf,
  inWorld,
  metadata,
  options,
  outcomes,
  remove,
  route,
  standingOf,
  update,
} from "./world.ts";

test("a file of ours edited by hand is drift; a document that someone added to it is kept", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    const added = "# why\napiVersion: v1\nkind: ConfigMap # mine\nmetadata: {name: note}\n";
    await writeFile(fileOf(path, "orders"), `${text.replace("10.1.4.7", "10.9.9.9")}---\n${added}`);
    const target = await open();
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.9.9.9"]));
    assert.deepEqual(await outcomes(target, [update(target, entry("orders"))]), ["ServiceEntry written"]);
    assert.match(await readFile(fileOf(path, "orders"), "utf8"), /kind: ConfigMap # mine/);
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders"));
    assert.deepEqual(await outcomes(target, [remove(target, entry("orders"))]), ["ServiceEntry written"]);
    assert.match(await readFile(fileOf(path, "orders"), "utf8"), /^[^-]*kind: ConfigMap # mine/);
  }));

test("a label and an annotation that someone added to an object of ours stay, what looks like ours does not", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders")), create(alias("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    const added = text
      .replaceAll(/^ {2}labels:\n/gm, "  labels:\n    team: payments\n    x2istio.dev/odd: x\n")
      .replaceAll(
        /^ {2}annotations:\n/gm,
        "  annotations:\n    argocd.argoproj.io/sync-wave: '2'\n    x2istio.dev/odd: x\n",
      );
    await writeFile(fileOf(path, "orders"), added);
    const target = await open();
    await outcomes(target, [update(target, entry("orders", ["10.1.4.9"])), update(target, alias("orders"))]);
    const written = await readFile(fileOf(path, "orders"), "utf8");
    assert.match(written, /10\.1\.4\.9/);
    for (const kept of [/^ {4}team: payments$/gm, /^ {4}argocd\.argoproj\.io\/sync-wave: "2"$/gm])
      assert.equal(
        written.match(kept)?.length,
        added.match(new RegExp(kept.source.replaceAll('"', "'"), "gm"))?.length,
      );
    assert.doesNotMatch(written, /odd/);
  }));

test("an entry spoiled by hand stands without what makes no sense, and is put right", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    await writeFile(fileOf(path, "orders"), text.replace("    - orders.shop.vms.mesh.internal\n", ""));
    const target = await open();
    const { spec } = standingOf(target, entry("orders")).manifest as ServiceEntry;
    assert.deepEqual(spec.hosts, []);
    assert.deepEqual([...buildNameTable(target.standing(), { settleMs: 0, nowMs: 0 }).names], []);
    assert.deepEqual(await outcomes(target, [update(target, entry("orders"))]), ["ServiceEntry written"]);
    assert.equal(await readFile(fileOf(path, "orders"), "utf8"), text);
  }));

test("a Service that was given a selector or another type is yielded", () =>
  inWorld(async ({ path, open }) => {
    await outcomes(await open(), [create(entry("orders")), create(alias("orders"))]);
    const text = await readFile(fileOf(path, "orders"), "utf8");
    await writeFile(fileOf(path, "orders"), text.replace("type: ExternalName", "type: ClusterIP"));
    assert.match(standingOf(await open(), alias("orders")).yielded ?? "", /its type to ClusterIP/);
    await writeFile(fileOf(path, "orders"), `${text}  selector: {app: orders}\n`);
    assert.match(standingOf(await open(), alias("orders")).yielded ?? "", /a selector/);
  }));

test("a file that changed between read and write is a conflict, and stands as it is now", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders")), create(entry("stock"))]);
    const changes = [update(target, entry("orders", ["10.1.4.8"])), remove(target, entry("stock"))];
    for (const service of ["orders", "stock"])
      await writeFile(
        fileOf(path, service),
        (await readFile(fileOf(path, service), "utf8")).replace("10.1.4.7", "10.9.9.9"),
      );
    assert.deepEqual(await outcomes(target, changes), ["ServiceEntry conflict", "ServiceEntry conflict"]);
    assert.deepEqual(standingOf(target, entry("orders")).manifest, entry("orders", ["10.9.9.9"]));
    assert.match(await readFile(fileOf(path, "stock"), "utf8"), /10\.9\.9\.9/);
    assert.deepEqual(
      await outcomes(target, changes),
      ["ServiceEntry conflict", "ServiceEntry conflict"],
      "computed from an older state",
    );
    assert.deepEqual(await outcomes(target, [update(target, entry("orders")), create(entry("stock"))]), [
      "ServiceEntry written",
      "ServiceEntry conflict",
    ]);
  }));

test("a write that fails says why, leaves the old file and does not stop the others", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await writeFile(
      join(await mkdir(path, { recursive: true }).then(() => path), "mesh-services"),
      "a file where the folder should be",
    );
    const { results } = await target.write([create(entry("orders"))], options);
    assert.equal(results[0]?.outcome, "failed");
    assert.match(String(results[0]?.error), /Cannot write ".*orders\.shop\.vms\.mesh\.internal\.yaml"/);
    await unlink(join(path, "mesh-services"));
    assert.deepEqual(await outcomes(target, [create(entry("orders"))]), ["ServiceEntry written"]);
  }));

test(
  "a folder without write permission fails the write",
  { skip: process.getuid?.() === 0 ? "root may write anywhere" : false },
  () =>
    inWorld(async ({ path, open }) => {
      const target = await open();
      await outcomes(target, [create(entry("orders"))]);
      await chmod(join(path, "mesh-services"), 0o555);
      assert.deepEqual(await outcomes(target, [update(target, entry("orders", [])), create(entry("stock"))]), [
        "ServiceEntry failed",
        "ServiceEntry failed",
      ]);
      await chmod(join(path, "mesh-services"), 0o755);
      assert.deepEqual((await allFiles(path)).length, 1);
    }),
);

test("a name that leads out of the folder is refused", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    const evil = {
      ...entry("orders"),
      metadata: { ...metadata("../../evil", "mesh-services", "vms/shop/orders") },
    } as Manifest;
    const evilToo = { ...entry("stock"), metadata: { ...metadata("stock", "..", "vms/shop/stock") } } as Manifest;
    assert.deepEqual(await outcomes(target, [create(evil), create(evilToo)]), [
      "ServiceEntry failed",
      "ServiceEntry failed",
    ]);
    assert.equal(existsSync(path), false);
  }));

test("an alias without its entry is not written", () =>
  inWorld(async ({ path, open }) => {
    assert.deepEqual(await outcomes(await open(), [create(alias("orders"))]), ["Service skipped"]);
    assert.equal(existsSync(path), false);
  }));

test("nothing is written once writing is forbidden", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    assert.deepEqual(await outcomes(target, [create(entry("orders"))], { ...options, mayWrite: () => false }), [
      "ServiceEntry skipped",
    ]);
    assert.deepEqual(await outcomes(target, [create(entry("orders"))], { ...options, signal: AbortSignal.abort() }), [
      "ServiceEntry skipped",
    ]);
    await assert.rejects(
      target.writeLedger([{ name: "x2istio-vips-240-241-0-0", resourceVersion: "", data: {} }], {
        ...options,
        mayWrite: () => false,
      }),
      /may not write/,
    );
    assert.equal(existsSync(path), false);
  }));

test("what is new goes to its service's entry, made with it or standing, and never to the companion", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    await outcomes(target, [create(companion("orders")), create(entry("orders")), create(alias("orders"))]);
    await outcomes(target, [create(route("orders")), create(alias("orders", "other"))]);
    await outcomes(target, [create(entry("stock")), create(alias("stock"))]);
    await outcomes(target, [create(companion("stock")), create(alias("stock", "other"))]);
    assert.deepEqual(await allFiles(path), [
      "mesh-services/orders.shop.vms.mesh.internal.yaml",
      "mesh-services/stock.shop.vms.mesh.internal.yaml",
    ]);
  }));

test("nothing is added to a file of ours that cannot be read now", () =>
  inWorld(async ({ path, open, warnings }) => {
    const target = await open();
    await outcomes(target, [create(entry("orders"))]);
    const broken = `${await readFile(fileOf(path, "orders"), "utf8")}---\na: [\n`;
    await writeFile(fileOf(path, "orders"), broken);
    await target.write([update(target, entry("orders", ["10.9.9.9"]))], options); // which finds out
    assert.equal(warnings.length, 1);
    const changes = [
      create(alias("orders")),
      update(target, entry("orders", ["10.9.9.9"])),
      remove(target, entry("orders")),
    ];
    assert.deepEqual(await outcomes(target, changes), [
      "Service foreign",
      "ServiceEntry failed",
      "ServiceEntry failed",
    ]);
    assert.equal(await readFile(fileOf(path, "orders"), "utf8"), broken);
  }));

test("updates are written first, then what is new, then deletes", () =>
  inWorld(async ({ open }) => {
    const target = await open();
    await outcomes(target, [create(entry("changed")), create(entry("gone"))]);
    const order: string[] = [];
    const changes = [
      remove(target, entry("gone")),
      create(entry("new")),
      update(target, entry("changed", ["10.9.9.9"])),
    ];
    const { results } = await target.write(changes, {
      ...options,
      onProgress: (done, total) => order.push(`${done}/${total}`),
    });
    assert.deepEqual(
      results.map(({ change }) => change.kind),
      ["update", "create", "delete"],
    );
    assert.deepEqual(order, ["1/3", "2/3", "3/3"]);
  }));

test("an alias is skipped where its entry could not be made, and nothing else is", () =>
  inWorld(async ({ path, open }) => {
    await mkdir(join(path, "shop"), { recursive: true });
    const { kind, apiVersion, spec } = entry("orders");
    const taken = {
      kind,
      apiVersion,
      spec,
      metadata: { name: entry("orders").metadata.name, namespace: "mesh-services" },
    };
    await writeFile(join(path, "shop", "theirs.yaml"), JSON.stringify(taken));
    const target = await open();
    const changes = [create(alias("orders")), create(entry("orders")), create(entry("stock")), create(alias("stock"))];
    assert.deepEqual(await outcomes(target, changes), [
      "Service skipped",
      "ServiceEntry foreign",
      "ServiceEntry written",
      "Service written",
    ]);
  }));

test("leadership that is lost between two files ends the writing there", () =>
  inWorld(async ({ path, open }) => {
    const target = await open();
    const names = Array.from({ length: 40 }, (_, at) => `s${at}`);
    let left = 3;
    const done = await outcomes(
      target,
      names.map((name) => create(entry(name))),
      { ...options, mayWrite: () => left-- > 0 },
    );
    assert.equal(done.filter((one) => one === "ServiceEntry written").length, 3);
    assert.equal(done.filter((one) => one === "ServiceEntry skipped").length, 37);
    assert.equal((await allFiles(path)).length, 3);
  }));
